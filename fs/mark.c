#include "fs/mark.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/children.h"
#include "dht/program/log.h"

#define SET_MIN		1024u	/* places; a power of two */
#define LOGGED_MAX	8u	/* lines about nodes that are gone */

struct fingerprint {
	uint64_t a, b;	/* zeros: a free place */
};

/* A node that is to be visited. */
struct step {
	enum kind kind;
	struct address address;
};

struct marker {
	struct mark_options o;
	/* Those that were visited: open addressing, at most three quarters full. */
	struct fingerprint *set;
	size_t mask, count;
	/* Depth first: at most the nodes beside one path. */
	struct step *stack;
	size_t depth, room;
	uint64_t gone;
};

static struct fingerprint fingerprint_of(const struct address *a)
{
	struct fingerprint f;

	_Static_assert(sizeof(f) == 16, "as much of an address as is told apart");
	memcpy(&f, a->b, sizeof(f));
	return f;
}

/* Where it is, or would be. */
static struct fingerprint *place(const struct marker *m, const struct fingerprint *f)
{
	size_t i = (size_t)f->b & m->mask;

	while ((m->set[i].a != f->a || m->set[i].b != f->b) && (m->set[i].a || m->set[i].b))
		i = (i + 1) & m->mask;
	return &m->set[i];
}

static int set_grow(struct marker *m)
{
	struct fingerprint *old = m->set;
	size_t n = m->mask + 1;

	m->set = calloc(2 * n, sizeof(*m->set));
	if (!m->set) {
		m->set = old;
		return -ENOMEM;
	}
	m->mask = 2 * n - 1;
	for (size_t i = 0; i < n; i++) {
		if (old[i].a || old[i].b)
			*place(m, &old[i]) = old[i];
	}
	free(old);
	return 0;
}

/* 1: it is new. */
static int visit(struct marker *m, const struct address *a)
{
	const struct fingerprint f = fingerprint_of(a);
	struct fingerprint *p = place(m, &f);

	if (p->a || p->b)
		return 0;
	if (m->count + 1 > (m->mask + 1) / 4 * 3) {
		int rc = set_grow(m);

		if (rc < 0)
			return rc;
		p = place(m, &f);
	}
	*p = f;
	m->count++;
	return 1;
}

/* Mark it; if it has something below it that was not seen yet, that is to be done. */
static int found(void *arg, enum kind kind, const struct address *a)
{
	struct marker *m = arg;
	int rc;

	m->o.mark(m->o.arg, a);
	if (kind == KIND_DATA)
		return 0;
	rc = visit(m, a);
	if (rc <= 0)
		return rc;
	if (m->depth == m->room) {
		size_t room = m->room ? 2 * m->room : 64;
		struct step *more = realloc(m->stack, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		m->stack = more;
		m->room = room;
	}
	m->stack[m->depth++] = (struct step){ kind, *a };
	return 0;
}

static void log_node(const struct marker *m, const struct step *s, const char *what, uint64_t id, const char *why)
{
	char text[ADDRESS_TEXT_LEN + 1];

	address_format(&s->address, text);
	log_line(LOG_WARNING, "%s: %s %s of %s %" PRIu64 ": %s", m->o.job ? m->o.job : "collection", kind_name(s->kind),
	    text, what, id, why);
}

static int step(struct marker *m, const char *what, uint64_t id)
{
	const struct step s = m->stack[--m->depth];
	struct chunk *chunk = NULL;
	int rc = m->o.source->get(m->o.source, s.kind, &s.address, &chunk);

	if (rc == 0)
		rc = children_of(s.kind, &s.address, chunk, found, m);
	chunk_drop(chunk);
	if (rc == -ENOENT || rc == -EBADMSG) {
		if (m->gone++ < LOGGED_MAX)
			log_node(m, &s, what, id, rc == -ENOENT ?
			    "is missing, and with it what only it refers to" :
			    "is damaged, and lost is what only it refers to");
		return 0;
	}
	if (rc < 0 && rc != -ECANCELED && rc != -ENOMEM)
		log_node(m, &s, what, id, strerror(-rc));
	return rc;
}

int marker_ref(struct marker *m, const struct ref *ref, const char *what, uint64_t id)
{
	int rc = 0;

	/* The empty file has an address, but nobody need have it. */
	if (ref->hash == 0 || (ref->kind == KIND_DATA && ref->size == 0))
		return 0;
	rc = found(m, (enum kind)ref->kind, &ref->address);
	while (rc == 0 && m->depth > 0)
		rc = m->o.go_on(m->o.arg) ? step(m, what, id) : -ECANCELED;
	m->depth = 0;
	return rc;
}

struct marker *marker_new(const struct mark_options *o)
{
	struct marker *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->o = *o;
	m->mask = SET_MIN - 1;
	m->set = calloc(SET_MIN, sizeof(*m->set));
	if (!m->set) {
		free(m);
		return NULL;
	}
	return m;
}

void marker_free(struct marker *m)
{
	if (!m)
		return;
	free(m->set);
	free(m->stack);
	free(m);
}

void marker_count(const struct marker *m, struct marked *out)
{
	*out = (struct marked){ .nodes = m->count, .gone = m->gone };
}
