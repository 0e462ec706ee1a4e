#include "chunker/children.h"

#include <errno.h>

#include "chunker/directory_node.h"
#include "chunker/index_path.h"
#include "chunker/snapshot.h"

struct teller {
	int (*tell)(void *arg, enum kind kind, const struct address *a);
	void *arg;
};

static int tell_ref(const struct teller *t, const struct ref *ref)
{
	/* The empty file has an address, but nobody need have it. */
	if (ref->kind == KIND_DATA && ref->size == 0)
		return 0;
	return t->tell(t->arg, (enum kind)ref->kind, &ref->address);
}

static int of_index(const struct chunk *chunk, const struct teller *t)
{
	struct node_header h;
	const uint8_t *p;
	int rc = node_open(&index_node_type, chunk, &h, &p);

	if (rc == 0 && h.entries_len != h.entries * INDEX_ENTRY_LEN)
		rc = -EBADMSG;
	for (uint32_t i = 0; rc == 0 && i < h.entries; i++) {
		struct extent e;

		index_entry_decode(p + i * INDEX_ENTRY_LEN, h.level, &e);
		if (!e.hole)
			rc = t->tell(t->arg, h.level > 0 ? KIND_INDEX : KIND_DATA, &e.address);
	}
	return rc;
}

static int of_entry(const struct entry *e, const struct teller *t)
{
	int rc = e->ref.hash ? tell_ref(t, &e->ref) : 0;

	return rc == 0 && e->xattrs_apart ? tell_ref(t, &e->xattrs_ref) : rc;
}

/* A source of this chunk alone: what loads nodes checks them too. */
struct only {
	struct source source;
	struct chunk *chunk;
};

static int only_get(struct source *s, enum kind kind, const struct address *a, struct chunk **out)
{
	(void)kind, (void)a;
	*out = chunk_hold(((struct only *)s)->chunk);
	return 0;
}

static int of_directory(const struct address *a, struct chunk *chunk, const struct teller *t)
{
	struct only only = { .source.get = only_get, .chunk = chunk };
	struct expected want = { .address = *a };
	struct directory_node node;
	struct node_header h;
	const uint8_t *p;
	struct entry e;
	struct item item;
	int rc = node_open(&directory_type, chunk, &h, &p);

	want.level = h.level;
	want.names = h.total;
	if (rc == 0)
		rc = directory_node_load(&only.source, &want, &node);
	if (rc < 0)
		return rc;
	for (p = node.p; rc == 0 && directory_node_next(&node, &p, &item);) {
		if (node.level > 0)
			rc = t->tell(t->arg, KIND_DIRECTORY, &item.address);
		else
			rc = entry_decode(item.bytes, item.len, &e);
		if (rc == 0 && node.level == 0)
			rc = of_entry(&e, t);
	}
	directory_node_drop(&node);
	return rc;
}

static int of_snapshot(const struct chunk *chunk, const struct teller *t)
{
	struct snapshot s;
	int rc = snapshot_decode(chunk, &s);

	if (rc == 0)
		rc = of_entry(&s.root, t);
	return rc == 0 ? tell_ref(t, &s.kept) : rc;
}

int children_of(enum kind kind, const struct address *a, struct chunk *chunk,
    int (*tell)(void *arg, enum kind kind, const struct address *a), void *arg)
{
	const struct teller t = { tell, arg };

	switch (kind) {
	case KIND_INDEX:
		return of_index(chunk, &t);
	case KIND_DIRECTORY:
		return of_directory(a, chunk, &t);
	case KIND_SNAPSHOT:
		return of_snapshot(chunk, &t);
	default:
		return 0;
	}
}
