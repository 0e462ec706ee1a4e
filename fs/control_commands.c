/* What dhtctl asks and commands, but for the bytes of files: those are control_data.c's. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "chunker/snapshot.h"
#include "dht/control/store.h"
#include "fs/control.h"
#include "fs/fs.h"
#include "fs/settle.h"

#define PINS_AT_ONCE	64u

static void record_collected(struct record *r, const struct collector_status *s)
{
	if (s->time > 0) {
		record_number(r, "collected_time", (uint64_t)s->time);
		record_number(r, "collected_bytes", s->removed_bytes);
	}
	record_number(r, "old_bytes", s->old_bytes);
}

/* The newest snapshot; when it was taken only its chunk knows. */
static int record_newest(struct call *c)
{
	struct ref newest, kept;
	struct waited_lookup w;
	struct snapshot s;
	uint64_t epoch;

	if (tree_get_head(call_fs(c)->tree, &newest, &epoch, &kept) < 0 || newest.hash == 0)
		return 0;
	call_record_address(c, "snapshot", &newest.address);
	waited_lookup_start(&w, c, KIND_SNAPSHOT, &newest.address);
	if (waited_lookup_end(&w) < 0)
		return channel_gone(&c->channel);
	if (snapshot_decode(w.op.chunk, &s) == 0 && s.time.sec > 0)
		record_number(&c->record, "snapshot_time", (uint64_t)s.time.sec);
	chunk_drop(w.op.chunk);
	return 0;
}

int command_status(struct call *c)
{
	const struct options *o = call_fs(c)->options;
	struct timestamp now = fs_now();
	struct record *r = &c->record;
	struct collector_status collected;
	struct files_status files;
	struct dht_status set;
	uint64_t inodes;
	int result;

	dht_status(call_fs(c)->dht, &set);
	files_status(call_fs(c)->files, &files);
	tree_count(call_fs(c)->tree, &inodes);

	record_text(r, "version", DHTFS_VERSION);
	record_text(r, "mountpoint", o->mountpoint);
	record_text(r, "store", o->store);
	record_number(r, "pid", (uint64_t)getpid());
	record_number(r, "uptime_s", now.sec > call_fs(c)->started.sec ?
	    (uint64_t)(now.sec - call_fs(c)->started.sec) : 0);
	record_truth(r, "read_only", o->read_only);
	record_truth(r, "failed", tree_failed(call_fs(c)->tree));
	record_number(r, "inodes", inodes);
	record_number(r, "dirty_bytes", files.dirty_bytes);
	record_number(r, "dirty_files", files.dirty_files);
	record_number(r, "failed_files", files.failed);
	record_space(r, &set);
	collector_status(call_fs(c)->collector, &collected);
	record_collected(r, &collected);
	record_volume(c);
	result = record_newest(c);
	if (result == 0 && call_fs(c)->ring.peer)
		ring_record(c, call_fs(c)->ring.peer);
	return result < 0 ? result : call_answer(c, FRAME_RECORD);
}

int command_unpin(struct call *c)
{
	struct address a;
	int r = call_address(c, "address", &a);

	if (r < 0)
		return r;
	r = tree_unpin(call_fs(c)->tree, &a);
	if (r == -ENOENT)
		return call_fail(c, r, "%s is not pinned", call_text(c, "address"));
	if (r < 0)
		return r;
	/* Only its index knows how much it was; at least it was something. */
	collector_freed(call_fs(c)->collector, CHUNK_MAX);
	return call_checkpoint(c);
}

int command_pins(struct call *c)
{
	struct ref pins[PINS_AT_ONCE];
	struct address last;
	size_t n = 0;

	do {
		n = tree_pins(call_fs(c)->tree, n > 0 ? &last : NULL, PINS_AT_ONCE, pins);
		for (size_t i = 0; i < n; i++) {
			int r;

			call_record_address(c, "address", &pins[i].address);
			record_text(&c->record, "kind", kind_name(pins[i].kind));
			record_number(&c->record, "size_bytes", pins[i].size);
			r = call_answer(c, FRAME_RECORD);
			if (r < 0)
				return r;
			last = pins[i].address;
		}
	} while (n == PINS_AT_ONCE);
	return 0;
}

static int take_snapshot(struct call *c, const char *note)
{
	struct ref ref;
	int r = call_snapshot(c, note, &ref);

	if (r < 0)
		return r;
	call_record_address(c, "address", &ref.address);
	return call_answer(c, FRAME_RECORD);
}

/* The loss of this machine loses nothing, when there are others. */
int command_sync(struct call *c)
{
	int r = take_snapshot(c, NULL);

	if (r < 0)
		return r;
	r = call_published(c);
	return r < 0 && r != -EPIPE ? call_fail(c, r, "all is on stable storage here, but not on other machines yet: %s",
	    settle_explain(r)) : r;
}

int command_snapshot(struct call *c)
{
	const char *note = call_text(c, "note");

	if (note && strlen(note) > SNAPSHOT_NOTE_MAX)
		return call_fail(c, -E2BIG, "the note is too long: it may have %u bytes",
		    SNAPSHOT_NOTE_MAX);
	return take_snapshot(c, note ? note : "");
}

struct listing {
	struct call *call;
	int result;
};

static void list_snapshot(void *arg, const struct timestamp *time, const struct ref *ref)
{
	struct listing *l = arg;

	if (l->result < 0)
		return;
	record_number(&l->call->record, "time", time->sec > 0 ? (uint64_t)time->sec : 0);
	call_record_address(l->call, "address", &ref->address);
	l->result = call_answer(l->call, FRAME_RECORD);
}

int command_snapshots(struct call *c)
{
	struct listing l = { .call = c };
	int r = snapshots_list(call_fs(c)->snapshots, list_snapshot, &l);

	return r < 0 ? r : l.result;
}

int command_check(struct call *c)
{
	struct dht_progress p = { 0 };
	int r = dht_check(call_fs(c)->dht, call_number(c, "rate"), call_tell, c, &p);

	if (r < 0)
		return r;
	record_progress(&c->record, &p);
	return call_answer(c, FRAME_RECORD);
}
