#include "dht/net/link.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/link_impl.h"

int link_new(const struct link_options *o, struct link **out)
{
	struct link *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return -ENOMEM;
	l->kind = o->kind;
	l->initiator = o->initiator;
	l->why = "";
	l->deadline = o->now + LINK_HANDSHAKE_US;
	l->rekey_frames = LINK_REKEY_FRAMES;
	for (int i = 0; i < LINK_PRIORITIES; i++)
		list_init(&l->queue[i]);
	link_credit_start(l, o);
	rc = link_handshake_start(l, o);
	if (rc < 0) {
		link_free(l);
		return rc;
	}
	*out = l;
	return 0;
}

static void outgoing_free(struct outgoing *m)
{
	list_remove(&m->link);
	chunk_drop(m->head);
	chunk_drop(m->tail);
	free(m);
}

void link_wipe(struct link *l)
{
	struct link_message m;

	link_credit_end(l);
	link_handshake_end(l);
	for (int i = 0; i < LINK_PRIORITIES; i++) {
		while (!list_empty(&l->queue[i]))
			outgoing_free(list_item(l->queue[i].next, struct outgoing, link));
		free(l->partial[i].bytes);
	}
	while (link_receive(l, &m))
		chunk_drop(m.body);
	free(l->ready);
	free(l->in);
	free(l->out);
	sodium_memzero(l, sizeof(*l));
}

void link_free(struct link *l)
{
	if (!l)
		return;
	link_wipe(l);
	free(l);
}

int link_fail(struct link *l, int rc, const char *why)
{
	l->failed = rc;
	l->why = why;
	return rc;
}

const char *link_why(const struct link *l)
{
	return l->why;
}

const uint8_t *link_peer(const struct link *l)
{
	return link_known(l) ? l->peer : NULL;
}

uint64_t link_features(const struct link *l)
{
	return l->features;
}

uint64_t link_deadline(const struct link *l)
{
	return l->handshake ? l->deadline : UINT64_MAX;
}

/*
 * Input.  What has come as a whole is taken from where it lies; the rest is kept.
 */

/* Checked before a byte is allocated for it. */
static bool length_is_sane(const struct link *l, size_t len)
{
	size_t most = LINK_FRAME_PLAIN, tag = l->kind == LINK_NOISE ? NOISE_TAG : 0;

	if (l->handshake && !l->handshake->ready)
		return link_handshake_length(l, len);
	if (l->handshake && !l->handshake->seen)
		most = LINK_HELLO_MAX;
	return len >= LINK_FRAME_HEAD + tag && len <= most + tag;
}

static int insane(struct link *l)
{
	return link_fail(l, -EPROTO, "a length that nothing has at this point");
}

/* ${plain}: room for ${len} bytes, malloc'ed or on the stack (then ${own} is NULL).  It may be where ${bytes} are. */
static int take_frame(struct link *l, const uint8_t *bytes, size_t len, uint8_t *plain, uint8_t **own)
{
	int n = link_open(l, bytes, len, plain);

	if (n < 0)
		return link_fail(l, n, "a frame that is forged, torn or out of order");
	if (l->handshake && !l->handshake->seen)
		return link_hello_read(l, plain, (size_t)n);
	return link_frame_read(l, plain, (size_t)n, own);
}

/* What is decrypted becomes the message's body where it lies, unless it is short.  ${*in}: where ${bytes} are, if they are ours;
 * NULL afterwards, if it was taken over. */
static int take(struct link *l, const uint8_t *bytes, size_t len, uint8_t **in)
{
	uint8_t brief[LINK_BRIEF], *own = NULL;
	int rc;

	if (l->handshake && !l->handshake->ready)
		return link_handshake_read(l, bytes, len);
	if (in)
		return take_frame(l, bytes, len, *in, in);
	if (len <= sizeof(brief))
		return take_frame(l, bytes, len, brief, NULL);
	own = malloc(len);
	if (!own)
		return link_fail(l, -ENOMEM, "no memory");
	rc = take_frame(l, bytes, len, own, &own);
	free(own);
	return rc;
}

/* Keep the beginning of a frame until its rest comes.  How many bytes were used, or an error. */
static int keep(struct link *l, const uint8_t *bytes, size_t len)
{
	size_t whole, n;
	uint8_t *in;
	int rc;

	if (l->in_have < 2) {
		l->in_head[l->in_have++] = bytes[0];
		if (l->in_have == 2 && !length_is_sane(l, get_le16(l->in_head)))
			return insane(l);
		return 1;
	}
	whole = get_le16(l->in_head);
	if (!l->in) {
		l->in = malloc(whole);
		if (!l->in)
			return link_fail(l, -ENOMEM, "no memory");
	}
	n = whole - (l->in_have - 2);
	if (n > len)
		n = len;
	memcpy(l->in + l->in_have - 2, bytes, n);
	l->in_have += (uint32_t)n;
	if (l->in_have - 2 < whole)
		return (int)n;
	in = l->in;
	l->in = NULL;
	l->in_have = 0;
	rc = take(l, in, whole, &in);
	free(in);
	return rc < 0 ? rc : (int)n;
}

int link_input(struct link *l, const uint8_t *bytes, size_t len)
{
	while (len > 0 && !l->failed) {
		bool whole = l->in_have == 0 && len >= 2 && len - 2 >= get_le16(bytes);
		size_t n = whole ? 2u + get_le16(bytes) : 0;
		int rc;

		if (whole && !length_is_sane(l, n - 2))
			return insane(l);
		rc = whole ? take(l, bytes + 2, n - 2, NULL) : keep(l, bytes, len);
		if (rc < 0)
			return rc;
		if (!whole)
			n = (size_t)rc;
		bytes += n;
		len -= n;
	}
	return l->failed;
}

bool link_receive(struct link *l, struct link_message *out)
{
	if (l->ready_at == l->ready_len)
		return false;
	*out = l->ready[l->ready_at++];
	if (l->ready_at < l->ready_len)
		return true;
	l->ready_at = l->ready_len = 0;
	if (l->ready_size > LINK_READY_KEEP) {
		free(l->ready);
		l->ready = NULL;
		l->ready_size = 0;
	}
	return true;
}

/*
 * Output.  It is put together when the driver asks, so that what is urgent comes before what was queued earlier.
 */

uint8_t *link_room(struct link *l, size_t n)
{
	size_t size = l->out_size, need = l->out_len + n;
	uint8_t *out;

	/* Twice what a frame takes would be a mapping of its own each time, and pages that are new. */
	if (size < need) {
		size = 2 * size > need ? 2 * size : need > 256 ? need : 256;
		out = realloc(l->out, size);
		if (!out)
			return NULL;
		l->out = out;
		l->out_size = (uint32_t)size;
	}
	return l->out + l->out_len;
}

static int fill(struct link *l)
{
	struct handshake *h = l->handshake;

	if (h && h->out_len > 0) {
		uint8_t *out = link_room(l, h->out_len);

		if (!out)
			return -ENOMEM;
		memcpy(out, h->out, h->out_len);
		l->out_len += h->out_len;
		h->out_len = 0;
	}
	/* Also to one that we won't have: it knows the secret, and our hello tells it why. */
	if (h && h->ready && !h->sent) {
		int rc = link_hello_write(l);

		if (rc < 0)
			return rc;
	}
	/* Not a frame before the hello, and none to a peer that is not known. */
	if (!l->handshake && !l->failed)
		while (l->out_len < LINK_AHEAD && link_frame_write(l))
			;
	return 0;
}

bool link_output(struct link *l, struct wire_slice *out)
{
	if (l->out_at == l->out_len && fill(l) < 0 && !l->failed)
		link_fail(l, -ENOMEM, "no memory");
	if (l->out_at == l->out_len)
		return false;
	*out = (struct wire_slice){ l->out + l->out_at, l->out_len - l->out_at };
	return true;
}

void link_sent(struct link *l, size_t n)
{
	assert(n <= l->out_len - l->out_at);
	l->out_at += (uint32_t)n;
	if (l->out_at < l->out_len)
		return;
	free(l->out);
	l->out = NULL;
	l->out_at = l->out_len = l->out_size = 0;
}

size_t link_queued(const struct link *l)
{
	return l->queued;
}

bool link_full(const struct link *l)
{
	return l->full;
}
