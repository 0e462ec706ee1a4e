#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/link_impl.h"

#define FRAME_MORE	 1u
#define FRAME_PRIORITY(flags) ((flags) >> 4 & 3u)
#define GRANT_LEN	 4u
#define OWED_DUE	 ((uint64_t)(100 - LINK_REPAIR_SHARE) * LINK_FRAME_PLAIN)

void link_frame_head(uint8_t *out, unsigned int type, enum link_priority priority, bool more, uint32_t request)
{
	out[0] = (uint8_t)type;
	out[1] = (uint8_t)((unsigned int)priority << 4 | (more ? FRAME_MORE : 0));
	put_le32(out + 2, request);
}

/* Both ends count the frames of a cipher, in its nonce, and so change its key at the same one. */
static void rekey(const struct link *l, struct noise_cipher *c)
{
	if (c->n % l->rekey_frames == 0)
		noise_rekey(c);
}

size_t link_seal(struct link *l, uint8_t *frame, size_t len)
{
	if (l->kind == LINK_NOISE) {
		noise_seal(&l->send, frame + 2, len, frame + 2);
		rekey(l, &l->send);
		len += NOISE_TAG;
	}
	put_le16(frame, (uint16_t)len);
	return len + 2;
}

int link_open(struct link *l, const uint8_t *sealed, size_t len, uint8_t *plain)
{
	if (l->kind == LINK_PLAIN) {
		memmove(plain, sealed, len);
		return (int)len;
	}
	if (noise_open(&l->receive, sealed, len, plain) < 0)
		return -EBADMSG;
	rekey(l, &l->receive);
	return (int)(len - NOISE_TAG);
}

/*
 * What goes out.
 */

static struct outgoing *first(const struct link *l, unsigned int priority)
{
	return list_empty(&l->queue[priority]) ? NULL : list_item(l->queue[priority].next, struct outgoing, link);
}

static void unqueue(struct link *l, struct outgoing *m, unsigned int priority)
{
	l->queued -= m->len - m->sent;
	if (priority == LINK_CONTROL)
		l->queued_control -= m->len - m->sent;
	if (l->queued <= LINK_QUEUE_ROOM)
		l->full = false;
	list_remove(&m->link);
	chunk_drop(m->head);
	chunk_drop(m->tail);
	free(m);
}

/* Old gossip is worth least.  What has begun to go must end. */
static void drop_old_control(struct link *l, size_t len)
{
	struct list *head = &l->queue[LINK_CONTROL], *at = head->next;

	while (l->queued_control + len > LINK_CONTROL_MAX && at != head) {
		struct outgoing *m = list_item(at, struct outgoing, link);

		at = at->next;
		if (m->sent == 0)
			unqueue(l, m, LINK_CONTROL);
	}
}

int link_send(struct link *l, unsigned int type, uint32_t request, enum link_priority priority,
    struct chunk *head, struct chunk *tail)
{
	size_t len = (size_t)head->len + (tail ? tail->len : 0);
	struct outgoing *m;

	assert(type != LINK_HELLO && type < LINK_GRANT && priority < LINK_PRIORITIES);
	if (!link_known(l) || l->failed)
		return -ENOTCONN;
	if (len > (priority == LINK_CONTROL ? LINK_CONTROL_MAX : WIRE_MESSAGE_MAX))
		return -EMSGSIZE;
	m = malloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	if (priority == LINK_CONTROL) {
		drop_old_control(l, len);
		l->queued_control += len;
	}
	*m = (struct outgoing){
		.head = chunk_hold(head), .tail = tail ? chunk_hold(tail) : NULL,
		.len = (uint32_t)len, .request = request, .type = (uint8_t)type,
	};
	list_append(&l->queue[priority], &m->link);
	l->queued += len;
	if (l->queued >= LINK_QUEUE_FULL)
		l->full = true;
	return 0;
}

/* Control, then repair where it is behind its share, then by rank.  LINK_PRIORITIES: nothing can go. */
static unsigned int choose(const struct link *l)
{
	const struct outgoing *repair = first(l, LINK_REPAIR);

	if (first(l, LINK_CONTROL))
		return LINK_CONTROL;
	if (repair && l->owed >= OWED_DUE && (l->credit > 0 || repair->len == 0))
		return LINK_REPAIR;
	for (unsigned int i = LINK_READ; i < LINK_PRIORITIES; i++) {
		const struct outgoing *m = first(l, i);

		if (m && (l->credit > 0 || m->len == m->sent))
			return i;
	}
	return LINK_PRIORITIES;
}

static void copy_body(const struct outgoing *m, uint8_t *out, uint32_t n)
{
	uint32_t at = m->sent, of_head = at < m->head->len ? m->head->len - at : 0;

	if (of_head > n)
		of_head = n;
	if (of_head > 0)
		memcpy(out, m->head->data + at, of_head);
	if (n > of_head)
		memcpy(out + of_head, m->tail->data + (at + of_head - m->head->len), n - of_head);
}

/* Repair is owed its share of what others send while it waits, and pays with what it sends. */
static void account(struct link *l, unsigned int priority, uint32_t n)
{
	uint64_t paid = (uint64_t)n * (100 - LINK_REPAIR_SHARE);

	if (priority == LINK_REPAIR)
		l->owed -= paid < l->owed ? paid : l->owed;
	else if (!list_empty(&l->queue[LINK_REPAIR]))
		l->owed += (uint64_t)n * LINK_REPAIR_SHARE;
	/* Without credit it can't go, and what control sends meanwhile is not to be paid back in one go. */
	if (l->owed > 2 * OWED_DUE)
		l->owed = 2 * OWED_DUE;
}

static bool write_grant(struct link *l)
{
	uint8_t *out = link_room(l, 2 + LINK_FRAME_HEAD + GRANT_LEN + NOISE_TAG);

	if (!out)
		return false;
	link_frame_head(out + 2, LINK_GRANT, LINK_CONTROL, false, 0);
	put_le32(out + 2 + LINK_FRAME_HEAD, l->grant);
	l->grant = 0;
	l->out_len += (uint32_t)link_seal(l, out, LINK_FRAME_HEAD + GRANT_LEN);
	return true;
}

bool link_frame_write(struct link *l)
{
	unsigned int priority;
	struct outgoing *m;
	uint32_t n;
	uint8_t *out;

	if (link_credit_raise(l))
		return write_grant(l);
	priority = choose(l);
	if (priority == LINK_PRIORITIES)
		return false;
	m = first(l, priority);
	n = m->len - m->sent;
	if (n > LINK_FRAME_PLAIN - LINK_FRAME_HEAD)
		n = LINK_FRAME_PLAIN - LINK_FRAME_HEAD;
	if (priority != LINK_CONTROL && n > l->credit)
		n = l->credit;
	out = link_room(l, 2 + LINK_FRAME_HEAD + (size_t)n + NOISE_TAG);
	if (!out)
		return false;
	link_frame_head(out + 2, m->type, (enum link_priority)priority, n < m->len - m->sent, m->request);
	copy_body(m, out + 2 + LINK_FRAME_HEAD, n);
	l->out_len += (uint32_t)link_seal(l, out, LINK_FRAME_HEAD + n);
	m->sent += n;
	l->queued -= n;
	if (priority == LINK_CONTROL)
		l->queued_control -= n;
	else
		l->credit -= n;
	if (l->queued <= LINK_QUEUE_ROOM)
		l->full = false;
	if (m->sent == m->len)
		unqueue(l, m, priority);
	account(l, priority, n);
	return true;
}

/*
 * What comes in.
 */

static int deliver(struct link *l, unsigned int type, uint32_t request, unsigned int priority, struct chunk *body)
{
	if (!body)
		return link_fail(l, -ENOMEM, "no memory");
	if (l->ready_len == l->ready_size) {
		uint32_t size = l->ready_size ? 2 * l->ready_size : 2;
		struct link_message *ready = realloc(l->ready, size * sizeof(*ready));

		if (!ready) {
			chunk_drop(body);
			return link_fail(l, -ENOMEM, "no memory");
		}
		l->ready = ready;
		l->ready_size = size;
	}
	l->ready[l->ready_len++] = (struct link_message){ type, request, (enum link_priority)priority, body };
	return 0;
}

static int append(struct link *l, struct partial *p, const uint8_t *body, size_t n, size_t most)
{
	size_t size = p->len + n;
	uint8_t *bytes;

	if (size > most)
		return link_fail(l, -EPROTO, "a message that is too long");
	if (size > p->size) {
		if (size < 2 * (size_t)p->size)
			size = 2 * (size_t)p->size < most ? 2 * (size_t)p->size : most;
		bytes = realloc(p->bytes, p->from + size);
		if (!bytes)
			return link_fail(l, -ENOMEM, "no memory");
		p->bytes = bytes;
		p->size = (uint32_t)size;
	}
	memcpy(p->bytes + p->from + p->len, body, n);
	p->len += (uint32_t)n;
	return 0;
}

/* The frame's own memory, with ${n} bytes of body in it, is where the message begins.  False: it is to be copied. */
static bool adopt(struct partial *p, uint8_t **own, size_t n)
{
	if (!own || !*own || p->bytes || n < LINK_BRIEF)
		return false;
	p->bytes = *own;
	p->from = LINK_FRAME_HEAD;
	p->len = p->size = (uint32_t)n;
	*own = NULL;
	return true;
}

/* The parts, as one chunk, without the slack behind them. */
static struct chunk *whole(struct partial *p)
{
	uint8_t *bytes = p->len > 0 ? realloc(p->bytes, p->from + p->len) : p->bytes;
	struct chunk *all, *c;

	if (bytes)
		p->bytes = bytes;
	all = c = chunk_adopt(p->bytes, p->from + p->len, free);
	if (all && p->from > 0) {
		c = chunk_slice(all, p->from, p->len);
		chunk_drop(all);
	}
	if (all)
		*p = (struct partial){ 0 };
	return c;
}

static int read_grant(struct link *l, const uint8_t *body, size_t len)
{
	uint32_t more = len >= GRANT_LEN ? get_le32(body) : 0;

	if (more == 0 || more > LINK_CREDIT_SANE - l->credit)
		return link_fail(l, -EPROTO, "a grant that makes no sense");
	l->credit += more;
	return 0;
}

int link_frame_read(struct link *l, const uint8_t *plain, size_t len, uint8_t **own)
{
	unsigned int type = plain[0], priority = FRAME_PRIORITY(plain[1]);
	bool more = plain[1] & FRAME_MORE, adopted;
	uint32_t request = get_le32(plain + 2);
	const uint8_t *body = plain + LINK_FRAME_HEAD;
	struct partial *p = &l->partial[priority];
	int rc;

	len -= LINK_FRAME_HEAD;
	if (type == LINK_HELLO)
		return link_fail(l, -EPROTO, "a second hello");
	if (type == LINK_GRANT)
		return read_grant(l, body, len);
	if (more && len == 0)
		return link_fail(l, -EPROTO, "an empty part of a message");
	if (p->open && (p->type != type || p->request != request))
		return link_fail(l, -EPROTO, "a message inside another one");
	if (priority != LINK_CONTROL && !link_credit_came(l, len))
		return link_fail(l, -EPROTO, "more than it was granted");
	adopted = !p->open && adopt(p, own, len);
	if (!more && !p->open && !adopted)
		return deliver(l, type, request, priority, chunk_copy(body, len));
	p->open = true;
	p->type = (uint8_t)type;
	p->request = request;
	rc = adopted ? 0 : append(l, p, body, len, priority == LINK_CONTROL ? LINK_CONTROL_MAX : WIRE_MESSAGE_MAX);
	if (rc < 0 || more)
		return rc;
	return deliver(l, type, request, priority, whole(p));
}
