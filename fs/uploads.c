#include "fs/uploads.h"

#include <errno.h>
#include <stdlib.h>

#include "chunker/index.h"
#include "fs/roots.h"

#define RING (2 * INDEX_ENTRIES_MAX)	/* more than one node lists, and what is on its way to the next */
#define LEVEL_AT 5			/* in a node's header */

void uploads_init(struct uploads *u)
{
	pthread_mutex_init(&u->lock, NULL);
	list_init(&u->list);
}

void uploads_destroy(struct uploads *u)
{
	pthread_mutex_destroy(&u->lock);
}

static int remember(struct upload *up, unsigned int level, const struct address *a)
{
	struct address **last = &up->level[level].last;

	if (!*last)
		*last = calloc(RING, sizeof(**last));
	if (!*last)
		return -ENOMEM;
	(*last)[up->level[level].count++ % RING] = *a;
	return 0;
}

/* Known here before it is in the set: a collection that begins in between would miss it. */
static int put(struct sink *sink, enum kind kind, const struct address *a, struct chunk *c)
{
	struct upload *up = (struct upload *)sink;
	unsigned int level = kind == KIND_DATA ? 0 : 1u + c->data[LEVEL_AT];
	int rc;

	pthread_mutex_lock(&up->uploads->lock);
	rc = remember(up, level, a);
	pthread_mutex_unlock(&up->uploads->lock);
	return rc < 0 ? rc : up->set->put(up->set, kind, a, c);
}

void upload_begin(struct upload *up, struct uploads *u, struct sink *set)
{
	*up = (struct upload){ .sink.put = put, .set = set, .uploads = u };
	pthread_mutex_lock(&u->lock);
	list_append(&u->list, &up->link);
	pthread_mutex_unlock(&u->lock);
}

void upload_end(struct upload *up)
{
	pthread_mutex_lock(&up->uploads->lock);
	list_remove(&up->link);
	pthread_mutex_unlock(&up->uploads->lock);
	for (unsigned int i = 0; i <= NODE_LEVELS; i++)
		free(up->level[i].last);
}

void uploads_roots(struct uploads *u, struct roots *roots)
{
	pthread_mutex_lock(&u->lock);
	for (struct list *l = u->list.next; l != &u->list; l = l->next) {
		const struct upload *up = list_item(l, struct upload, link);

		for (unsigned int i = 0; i <= NODE_LEVELS; i++) {
			uint64_t n = up->level[i].count < RING ? up->level[i].count : RING;
			struct ref ref = {
				.hash = HASH_BLAKE2B_256, .kind = i ? KIND_INDEX : KIND_DATA, .size = 1,
			};

			for (uint64_t j = 0; j < n; j++) {
				ref.address = up->level[i].last[j];
				roots_add(roots, &ref);
			}
		}
	}
	pthread_mutex_unlock(&u->lock);
}
