/* What dhtctl asks of the volume: which one it is, and whether it is safe. */
#include <errno.h>
#include <string.h>

#include "dht/net/signed.h"
#include "dht/peer/volume.h"
#include "fs/control.h"
#include "fs/follow.h"
#include "fs/fs.h"
#include "fs/settle.h"

#define LOOK_MS		500
#define AGAIN_MS	1000u	/* before what failed is tried again */

static void record_key(struct record *r, const uint8_t key[MEMBER_KEY])
{
	char text[2 * MEMBER_KEY + 1];

	volume_public_format(key, text);
	record_text(r, "volume", text);
}

static void record_followed(struct call *c, struct follow *f)
{
	struct record *r = &c->record;
	struct follow_status s;

	follow_status(f, &s);
	record_key(r, s.key);
	record_truth(r, "followed", true);
	record_number(r, "head", s.seq);
	call_record_address(c, "head_snapshot", &s.snapshot.address);
	record_number(r, "head_time", s.time.sec > 0 ? (uint64_t)s.time.sec : 0);
	record_number(r, "head_asked_s", s.asked_s);
	record_text(r, "head_error", s.error ? settle_explain(s.error) : "");
}

void record_volume(struct call *c)
{
	struct fs *fs = call_fs(c);
	struct record *r = &c->record;
	struct dht_waiting w;

	if (fs->follow)
		record_followed(c, fs->follow);
	if (!fs->writes)
		return;
	dht_waiting(fs->dht, &w);
	record_key(r, fs->volume);
	record_truth(r, "followed", false);
	record_truth(r, "alone", w.alone);
	record_number(r, "head", w.head);
	record_truth(r, "head_waits", w.head_waits);
	record_text(r, "head_error", w.head_error ? settle_explain(w.head_error) : "");
	record_number(r, "unsafe", w.out);
	record_text(r, "unsafe_error", w.error ? settle_explain(w.error) : "");
	record_number(r, "unleased", w.unleased);
}

static int none(struct call *c)
{
	return call_fail(c, -ENOTCONN, "it has no volume: it was started without --ring, or only to read");
}

int command_volume(struct call *c)
{
	struct fs *fs = call_fs(c);
	struct address id;

	if (!fs->writes && !fs->follow)
		return none(c);
	record_volume(c);
	if (fs->writes) {
		volume_id(fs->volume, &id);
		call_record_address(c, "id", &id);
	}
	return call_answer(c, FRAME_RECORD);
}

static int tell_left(struct call *c, uint64_t *most)
{
	struct dht_waiting w;
	uint64_t left;

	dht_waiting(call_fs(c)->dht, &w);
	left = settle_left(&w);
	*most = left > *most ? left : *most;
	record_text(&c->record, "phase", "safe");
	record_number(&c->record, "done", *most - left);
	record_number(&c->record, "total", *most);
	return call_answer(c, FRAME_PROGRESS);
}

struct telling {
	struct call *call;
	uint64_t *most;
};

static bool tell_leasing(void *arg, const struct dht_progress *p)
{
	struct telling *t = arg;

	(void)p;
	return tell_left(t->call, t->most) == 0;
}

static void published(struct dht_op *op)
{
	waited_done(op->user, op->result);
}

/* One try to get all of it out.  0: also where it failed in a way that may pass. */
static int try_once(struct call *c, uint64_t *most)
{
	struct telling t = { c, most };
	struct waited w;
	struct dht_op op = { .done = published, .user = &w };
	int r;

	waited_start(&w, c);
	dht_published(call_fs(c)->dht, &op);
	while ((r = waited_wait(&w, LOOK_MS)) == -ETIMEDOUT && (r = tell_left(c, most)) == 0)
		continue;
	if (r < 0) {
		dht_cancel(&op);
		waited_finish(&w);
		return r;
	}
	if (settle_over(w.result))
		return call_fail(c, w.result, "%s", settle_explain(w.result));
	if (w.result == 0)
		dht_lease(call_fs(c)->dht, tell_leasing, &t);
	return tell_left(c, most);
}

int command_wait(struct call *c)
{
	struct fs *fs = call_fs(c);
	struct dht_waiting w;
	struct ref snapshot;
	uint64_t most = 0;
	int r = fs->writes ? call_snapshot(c, NULL, &snapshot) : none(c);

	while (r == 0) {
		r = try_once(c, &most);
		dht_waiting(fs->dht, &w);
		if (r < 0 || settle_left(&w) == 0)
			break;
		/* With --sync local the try ends well, whatever came of it. */
		if (settle_over(w.head_error))
			r = call_fail(c, w.head_error, "%s", settle_explain(w.head_error));
		else
			r = call_pause(c, AGAIN_MS);
	}
	return r == 0 && w.alone ? call_fail(c, -EHOSTUNREACH, SETTLE_ALONE) : r;
}
