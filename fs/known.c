#include "fs/known.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define SHARDS	  16u
#define SLOTS_MIN 64u

/* A number of 0: the slot is free. */
struct slot {
	uint64_t ino, lookups;
};

/* Open addressing, at most three quarters full; what is removed is closed up behind it. */
struct shard {
	pthread_mutex_t lock;	/* protects what follows */
	struct slot *slots;
	size_t mask, count;
};

struct known {
	struct shard shards[SHARDS];
};

static struct shard *shard_of(struct known *k, uint64_t ino)
{
	return &k->shards[ino % SHARDS];
}

static size_t home(const struct shard *s, uint64_t ino)
{
	return (size_t)(ino / SHARDS * UINT64_C(0x9e3779b97f4a7c15) >> 24) & s->mask;
}

/* Where it is, or would be. */
static struct slot *find(const struct shard *s, uint64_t ino)
{
	size_t i = home(s, ino);

	while (s->slots[i].ino && s->slots[i].ino != ino)
		i = (i + 1) & s->mask;
	return &s->slots[i];
}

static int resize(struct shard *s, size_t n)
{
	struct shard old = *s;
	struct slot *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	s->slots = slots;
	s->mask = n - 1;
	for (size_t i = 0; i <= old.mask; i++)
		if (old.slots[i].ino)
			*find(s, old.slots[i].ino) = old.slots[i];
	free(old.slots);
	return 0;
}

static void drop(struct shard *s, struct slot *slot)
{
	size_t hole = (size_t)(slot - s->slots);

	for (size_t i = (hole + 1) & s->mask; s->slots[i].ino; i = (i + 1) & s->mask) {
		/* It may move back unless that is before its home. */
		if (((i - home(s, s->slots[i].ino)) & s->mask) >= ((i - hole) & s->mask)) {
			s->slots[hole] = s->slots[i];
			hole = i;
		}
	}
	s->slots[hole] = (struct slot){ 0 };
	s->count--;
	/* Where there is no memory to have less of it, it stays. */
	if (s->mask + 1 > SLOTS_MIN && s->count < s->mask / 8)
		resize(s, (s->mask + 1) / 2);
}

struct known *known_new(void)
{
	struct known *k = calloc(1, sizeof(*k));

	for (unsigned int i = 0; k && i < SHARDS; i++) {
		struct shard *s = &k->shards[i];

		pthread_mutex_init(&s->lock, NULL);
		s->mask = SLOTS_MIN - 1;
		s->slots = calloc(SLOTS_MIN, sizeof(*s->slots));
		if (!s->slots) {
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
		free(k->shards[i].slots);
		pthread_mutex_destroy(&k->shards[i].lock);
	}
	free(k);
}

int known_add(struct known *k, uint64_t ino)
{
	struct shard *s = shard_of(k, ino);
	struct slot *slot;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	slot = find(s, ino);
	if (!slot->ino && s->count >= (s->mask + 1) / 4 * 3) {
		rc = resize(s, 2 * (s->mask + 1));
		slot = find(s, ino);
	}
	if (rc == 0) {
		s->count += !slot->ino;
		slot->ino = ino;
		slot->lookups++;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

bool known_forget(struct known *k, uint64_t ino, uint64_t n)
{
	struct shard *s = shard_of(k, ino);
	struct slot *slot;
	bool none;

	pthread_mutex_lock(&s->lock);
	slot = find(s, ino);
	none = slot->lookups <= n;
	if (!none)
		slot->lookups -= n;
	else if (slot->ino)
		drop(s, slot);
	pthread_mutex_unlock(&s->lock);
	return none;
}
