#include "fs/known.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define SHARDS	  16u
#define SLOTS_MIN 64u
#define GROUP	  8u	/* inodes; neighbours in number are often neighbours in use */
#define FEW_MAX	  255u

/* No lookups at all: the slot is free. */
struct slot {
	uint64_t key;
	union {
		uint64_t lookups;
		uint8_t few[GROUP];
	};
};

/* Open addressing, at most three quarters full; what is removed is closed up behind it. */
struct table {
	struct slot *slots;
	size_t mask, count;
};

/*
 * A million inodes made one after the other take 2 to 4 MiB so.  What is more than FEW_MAX of
 * an inode's lookups is counted in a table of its own.
 */
struct shard {
	pthread_mutex_t lock;	/* protects what follows */
	struct table groups;	/* by ino / GROUP */
	struct table more;	/* by ino */
};

struct known {
	struct shard shards[SHARDS];
};

static struct shard *shard_of(struct known *k, uint64_t ino)
{
	return &k->shards[ino / GROUP % SHARDS];
}

static size_t home(const struct table *t, uint64_t key)
{
	return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & t->mask;
}

/* Where it is, or would be. */
static struct slot *find(const struct table *t, uint64_t key)
{
	size_t i = home(t, key);

	while (t->slots[i].lookups && t->slots[i].key != key)
		i = (i + 1) & t->mask;
	return &t->slots[i];
}

static int resize(struct table *t, size_t n)
{
	struct table old = *t;
	struct slot *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	t->slots = slots;
	t->mask = n - 1;
	for (size_t i = 0; i <= old.mask; i++)
		if (old.slots[i].lookups)
			*find(t, old.slots[i].key) = old.slots[i];
	free(old.slots);
	return 0;
}

/* As find(), with room for it; NULL: no memory. */
static struct slot *claim(struct table *t, uint64_t key)
{
	struct slot *slot = find(t, key);

	if (!slot->lookups && t->count >= (t->mask + 1) / 4 * 3) {
		if (resize(t, 2 * (t->mask + 1)) < 0)
			return NULL;
		slot = find(t, key);
	}
	t->count += !slot->lookups;
	slot->key = key;
	return slot;
}

/* ${slot} was in use, and has no lookups any more. */
static void drop(struct table *t, struct slot *slot)
{
	size_t hole = (size_t)(slot - t->slots);

	for (size_t i = (hole + 1) & t->mask; t->slots[i].lookups; i = (i + 1) & t->mask) {
		/* It may move back unless that is before its home. */
		if (((i - home(t, t->slots[i].key)) & t->mask) >= ((i - hole) & t->mask)) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole] = (struct slot){ 0 };
	t->count--;
	/* Where there is no memory to have less of it, it stays. */
	if (t->mask + 1 > SLOTS_MIN && t->count < t->mask / 8)
		resize(t, (t->mask + 1) / 2);
}

static int table_init(struct table *t)
{
	*t = (struct table){ .mask = SLOTS_MIN - 1 };
	t->slots = calloc(SLOTS_MIN, sizeof(*t->slots));
	return t->slots ? 0 : -ENOMEM;
}

struct known *known_new(void)
{
	struct known *k = calloc(1, sizeof(*k));

	for (unsigned int i = 0; k && i < SHARDS; i++) {
		struct shard *s = &k->shards[i];

		pthread_mutex_init(&s->lock, NULL);
		if (table_init(&s->groups) < 0 || table_init(&s->more) < 0) {
			known_free(k);
			return NULL;
		}
	}
	return k;
}

void known_free(struct known *k)
{
	if (!k)
		return;
	for (unsigned int i = 0; i < SHARDS; i++) {
		free(k->shards[i].groups.slots);
		free(k->shards[i].more.slots);
		pthread_mutex_destroy(&k->shards[i].lock);
	}
	free(k);
}

int known_add(struct known *k, uint64_t ino)
{
	struct shard *s = shard_of(k, ino);
	struct slot *slot;

	pthread_mutex_lock(&s->lock);
	slot = claim(&s->groups, ino / GROUP);
	if (slot && slot->few[ino % GROUP] < FEW_MAX) {
		slot->few[ino % GROUP]++;
	} else if (slot) {
		slot = claim(&s->more, ino);
		if (slot)
			slot->lookups++;
	}
	pthread_mutex_unlock(&s->lock);
	return slot ? 0 : -ENOMEM;
}

/* At most ${n} lookups fewer; returns how many. */
static uint64_t take(struct table *t, struct slot *slot, uint64_t n)
{
	uint64_t taken = slot->lookups < n ? slot->lookups : n;

	if (taken > 0) {
		slot->lookups -= taken;
		if (slot->lookups == 0)
			drop(t, slot);
	}
	return taken;
}

bool known_forget(struct known *k, uint64_t ino, uint64_t n)
{
	struct shard *s = shard_of(k, ino);
	struct slot *slot;
	uint8_t *few;
	bool none;

	pthread_mutex_lock(&s->lock);
	n -= take(&s->more, find(&s->more, ino), n);
	slot = find(&s->groups, ino / GROUP);
	few = &slot->few[ino % GROUP];
	none = *few <= n;
	if (slot->lookups) {
		*few = none ? 0 : (uint8_t)(*few - n);
		if (!slot->lookups)
			drop(&s->groups, slot);
	}
	pthread_mutex_unlock(&s->lock);
	return none;
}
