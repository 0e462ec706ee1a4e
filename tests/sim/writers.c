/*
 * Writers, who publish the heads of volumes, and readers.  See load.h.
 *
 * A writer stays with a machine, and goes on from the head that was accepted last; after anything but that he reads before he writes
 * again.  Every version that was ever signed is kept: an answer must be one of them.  What a majority of the owners' disks had may be
 * forgotten when so many of these are lost that no majority is left: hits and promised (load_impl.h) follow that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/heads.h"
#include "tests/sim/load_impl.h"
#include "tests/sim/plants.h"
#include "tests/sim/trace.h"

#define HEAD_US (20 * S)

void writers_open(struct world *w, struct volume *v)
{
	struct dice *d = &w->load->dice;

	/* Every other volume has two writers: somebody has copied its key. */
	v->writers = v->number % 2 == 0 ? 1 : WRITERS;
	for (unsigned int i = 0; i < WRITERS; i++)
		v->writer[i] = (struct writer){ .volume = v, .id = dice_next(d), .known = true };
}

void writers_close(struct volume *v)
{
	while (v->versions) {
		struct version *x = v->versions;

		v->versions = x->next;
		chunk_drop(x->blob);
		free(x);
	}
	free(v->seen);
}

static struct version *find_version(struct volume *v, const struct address *hash)
{
	struct version *x = v->versions;

	while (x && !address_equal(&x->hash, hash))
		x = x->next;
	return x;
}

static struct version *sign_version(struct world *w, struct writer *by)
{
	struct volume *v = by->volume;
	struct version *x = must(calloc(1, sizeof(*x)));
	struct head h = { .seq = by->seq + 1, .previous = by->hash, .writer = by->id };
	uint8_t blob[SIGNED_MAX];
	size_t len;

	if (planted(w, PLANT_OVERWRITE) && by->seq > 0)
		h.previous.b[0] ^= 1;
	memcpy(h.key, v->key, sizeof(h.key));
	h.snapshot = (struct ref){ .hash = HASH_BLAKE2B_256, .kind = KIND_SNAPSHOT, .size = 100 };
	dice_fill(&w->load->dice, h.snapshot.address.b, ADDRESS_LEN);
	len = head_sign(&h, &w->file.id, v->secret, blob);
	x->blob = must(chunk_copy(blob, len));
	head_hash(blob, len, &x->hash);
	x->seq = h.seq;
	x->previous = h.previous;
	x->writer = by;
	x->next = v->versions;
	v->versions = x;
	return x;
}

/* A writer stays with his machine, where his own head lies, for as long as that is there. */
static struct host *place_writer(struct world *w, struct writer *by)
{
	if (!by->host || by->host->gone || !by->host->member || by->host->liar) {
		by->host = host_any(w, &w->load->dice);
		by->known = by->seq == 0 && !by->volume->acked;
	}
	return by->host && by->host->node && !by->host->leaving ? by->host : NULL;
}

static void ask_head(struct world *w, struct host *h, struct volume *v, struct writer *by, bool final)
{
	struct request *r = request_new(w, h, COMMAND_HEAD, HEAD_US);
	struct command c = { .address = v->id };

	r->volume = v;
	r->writer = by;
	r->seq = v->acked;
	r->promised = v->promised;
	r->final = final;
	if (by)
		by->busy = true;
	request_send(w, r, &c);
}

static void swap_by(struct world *w, struct volume *v, struct writer *by, bool final)
{
	struct host *h = place_writer(w, by);
	struct command c = { .address = v->id, .previous = by->hash };
	struct request *r;

	if (!h || by->busy)
		return;
	if (!by->known) {
		ask_head(w, h, v, by, false);
		return;
	}
	r = request_new(w, h, COMMAND_SWAP, HEAD_US);
	r->volume = v;
	r->writer = by;
	r->final = final;
	r->version = sign_version(w, by);
	r->version->sent = true;
	r->losses = v->losses;
	by->busy = true;
	c.blob = r->version->blob;
	request_send(w, r, &c);
}

void writer_swap(struct world *w, struct volume *v)
{
	swap_by(w, v, &v->writer[dice_below(&w->load->dice, v->writers)], false);
}

void writers_last(struct world *w, struct volume *v)
{
	struct version *newest = v->versions;

	while (newest && !(newest->acked && newest->seq == v->acked))
		newest = newest->next;
	for (unsigned int i = 0; i < v->writers; i++) {
		struct writer *by = &v->writer[i];

		if (v->evidence && newest && place_writer(w, by)) {
			by->known = true;
			by->seq = newest->seq;
			by->hash = newest->hash;
		}
		swap_by(w, v, by, true);
	}
}

void reader_head(struct world *w, struct volume *v, bool final)
{
	struct host *h = host_any(w, &w->load->dice);

	if (h)
		ask_head(w, h, v, NULL, final);
}

/* What a reader had seen was on his disk. */
static void forget_seen(struct volume *v, const struct host *h)
{
	if (h->index < v->seen_size)
		v->seen[h->index] = 0;
}

void writers_wiped(struct world *w, const struct host *h)
{
	for (unsigned int i = 0; i < w->load->volumes; i++)
		forget_seen(&w->load->volume[i], h);
}

/* Has its disk, as an owner's, both heads of a seq (0), or a head of ${seq} or newer? */
static bool has_head(const struct host *h, const struct volume *v, uint64_t seq)
{
	struct catalogue *c = &h->disk->catalogue;
	struct chunk *row = c->row(c, &(struct catalogue_row_key){ .table = ROW_HEAD, .key = v->id });
	struct head_row read;
	const struct head_item *newest = head_row_read(row, &read) == 0 ? head_row_newest(&read) : NULL;
	bool has = seq == 0 ? row && read.forked : newest && newest->seq >= seq;

	chunk_drop(row);
	return has;
}

static bool has_newest(const struct host *h, const struct volume *v)
{
	return !v->acked || has_head(h, v, v->acked);
}

/* A head counts while a majority of the owners have it.  With more than R/2 of their disks, or with liars that said that they had it, it is
 * gone: whoever comes after them knows of no head, and a writer on a new machine begins anew. */
static void newest_lost(struct world *w, struct volume *v, const struct ring *table, const struct host *lost)
{
	unsigned int have = 0, left = 0;
	bool owner = false;

	for (unsigned int k = 0; k < table->replicas; k++) {
		const struct host *h = books_owner(w, table, &v->id, k);
		bool has = h && !h->liar && has_newest(h, v);

		have += has;
		left += has && h != lost;
		owner |= h == lost;
	}
	if (!owner && (!v->acked || !has_newest(lost, v)))
		return;
	v->losses++;
	if (have == table->replicas)
		v->hits = 0;
	if (left > table->replicas / 2 || ++v->hits <= table->replicas / 2)
		return;
	for (struct version *x = v->versions; x; x = x->next)
		x->acked = false;
	v->acked = v->hits = 0;
}

/* Does a majority of the owners' disks have it, without that of ${lost}? */
static bool is_safe(struct world *w, const struct volume *v, const struct ring *table, uint64_t seq, const struct host *lost)
{
	unsigned int have = 0;

	for (unsigned int k = 0; k < w->hosts; k++)
		have += w->host[k] != lost && w->host[k]->member && !w->host[k]->liar && has_head(w->host[k], v, seq);
	return have >= table->replicas / 2 + 1;
}

/* The disk of ${h}, or its row of heads: evidence, and a head that was accepted, are safe while a majority has them. */
static void volume_hit(struct world *w, struct volume *v, const struct host *h)
{
	const struct ring *table = books_table(w);

	if (!table)
		return;
	newest_lost(w, v, table, h);
	if (v->evidence && has_head(h, v, 0))
		v->evidence = is_safe(w, v, table, 0, h);
	if (v->promised && has_head(h, v, v->promised) && !is_safe(w, v, table, v->promised, h))
		v->promised = 0;
}

void writers_lost(struct world *w, const struct host *h)
{
	for (unsigned int i = 0; i < w->load->volumes; i++)
		volume_hit(w, &w->load->volume[i], h);
}

void writers_row_lost(struct world *w, const struct host *h, uint8_t table, const struct address *volume)
{
	for (unsigned int i = 0; i < w->load->volumes; i++) {
		struct volume *v = &w->load->volume[i];

		if (table == ROW_HEAD_SEEN && address_equal(&v->id, volume))
			forget_seen(v, h);
		if (table == ROW_HEAD && address_equal(&v->id, volume))
			volume_hit(w, v, h);
	}
}

/* Who found the proof tells the owners when they can be reached: with his process goes what he has not told yet. */
void writers_stopped(struct world *w, const struct host *h)
{
	const struct ring *table = books_table(w);

	for (unsigned int i = 0; i < w->load->volumes; i++) {
		struct volume *v = &w->load->volume[i];

		if (table && v->evidence && v->finder == h)
			v->evidence = is_safe(w, v, table, 0, NULL);
	}
}

static void found(struct volume *v, const struct host *by)
{
	if (!v->evidence)
		v->finder = by;
	v->evidence = true;
}

void writer_gone(struct request *r)
{
	if (!r->writer)
		return;
	r->writer->busy = false;
	r->writer->known = false;
}

static void check_seen(struct world *w, struct volume *v, struct host *h, uint64_t seq)
{
	if (h->index >= v->seen_size) {
		v->seen = must(realloc(v->seen, w->hosts * sizeof(*v->seen)));
		memset(v->seen + v->seen_size, 0, (w->hosts - v->seen_size) * sizeof(*v->seen));
		v->seen_size = w->hosts;
	}
	if (seq < v->seen[h->index])
		world_fail(w, "heads", "%s saw head %llu of volume %u, and is now told that %llu is the newest", h->name,
		    (unsigned long long)v->seen[h->index], v->number, (unsigned long long)seq);
	v->seen[h->index] = seq;
}

/* What was accepted before he asked, he is told, or something newer; liars who are owners may have forgotten it. */
static void check_promised(struct world *w, const struct request *r, uint64_t seq)
{
	const struct volume *v = r->volume;

	if (seq < r->promised && v->promised && !v->evidence && !(w->options.faults & FAULT_LIARS))
		world_fail(w, "heads", "%s is told that head %llu of volume %u is the newest; %llu was accepted", r->host->name,
		    (unsigned long long)seq, v->number, (unsigned long long)r->promised);
}

void head_reply(struct world *w, struct request *r, const struct effect *e)
{
	struct volume *v = r->volume;
	struct head h;
	struct address hash;
	struct version *x;

	w->load->figures.heads++;
	if (r->writer)
		writer_gone(r);
	if (e->result == -EUCLEAN)
		found(v, r->host);
	if (e->result == -ENOENT)
		check_promised(w, r, 0);
	if (e->result != 0) {
		w->load->figures.heads_failed++;
		if (e->result == -ENOENT && r->writer && r->seq == 0) {
			r->writer->known = true;
			r->writer->seq = 0;
			memset(&r->writer->hash, 0, sizeof(r->writer->hash));
		}
		return;
	}
	head_hash(e->blob->data, e->blob->len, &hash);
	x = find_version(v, &hash);
	if (!x || head_read(e->blob->data, e->blob->len, &w->file.id, &h) != 0) {
		world_fail(w, "heads", "%s is given a head of volume %u that nobody signed", r->host->name, v->number);
		return;
	}
	check_seen(w, v, r->host, h.seq);
	check_promised(w, r, h.seq);
	if (r->writer) {
		r->writer->known = true;
		r->writer->seq = x->seq;
		r->writer->hash = x->hash;
	}
}

/* Of one seq only one head is ever accepted, and what comes next comes of it. */
static void accept(struct world *w, struct request *r)
{
	struct volume *v = r->volume;
	struct version *x = r->version;

	for (struct version *o = v->versions; o; o = o->next) {
		if (o != x && o->seq == x->seq && o->acked)
			world_fail(w, "heads", "volume %u: two heads of seq %llu were accepted", v->number,
			    (unsigned long long)x->seq);
		if (o->seq + 1 == x->seq && o->acked && !address_equal(&o->hash, &x->previous))
			world_fail(w, "heads", "volume %u: head %llu was overwritten", v->number, (unsigned long long)o->seq);
	}
	x->acked = true;
	/* A disk that was lost meanwhile may be one that had acknowledged it. */
	if (x->seq > v->acked) {
		v->acked = v->promised = x->seq;
		v->hits = v->losses - r->losses;
	}
	r->writer->seq = x->seq;
	r->writer->hash = x->hash;
	r->writer->known = true;
	check_seen(w, v, r->host, x->seq);
}

void swap_reply(struct world *w, struct request *r, const struct effect *e)
{
	w->load->figures.swaps++;
	writer_gone(r);
	if (e->result == 0 || e->result == -EUCLEAN || e->result == -ESTALE)
		trace(w, r->host, TRACE_USER, r->version->seq, r->volume->number, "volume %u, head %llu: %s",
		    r->volume->number, (unsigned long long)r->version->seq, e->result ? strerror(-e->result) : "accepted");
	if (e->result == -EUCLEAN)
		found(r->volume, r->host);
	if (e->result != 0 && !planted(w, PLANT_TWO_HEADS) && !planted(w, PLANT_OVERWRITE) &&
	    !(planted(w, PLANT_GO_ON) && r->final && r->volume->evidence)) {
		w->load->figures.swaps_failed++;
		return;
	}
	if (r->final && r->volume->evidence)
		world_fail(w, "heads", "volume %u has two heads of one seq, and a writer went on", r->volume->number);
	accept(w, r);
}
