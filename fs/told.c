#include "fs/told.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse_lowlevel.h>

#define SHARDS	64u
#define SLOTS	64u	/* in a shard: two inodes that share one cost invalidations more */
#define WORDS	1024u	/* of 64 bits: two inodes that share one cost questions more */

/* For how long at least the kernel's thread may wait for a processor between an answer and what it does with it. */
#define SUBTRACTED_S	4

struct shard {
	pthread_mutex_t lock;	/* also while an invalidation is sent: who finds that it was has it behind him */
	uint64_t untold[SLOTS];	/* inodes: invalidated, and nothing told since; 0: none */
};

struct told {
	struct shard shards[SHARDS];
	atomic_uint removing;	/* it is not known yet of what */
	pthread_mutex_t lock;	/* protects what follows */
	time_t since;
	uint64_t removed[2][WORDS];	/* since then, and before */
};

struct told *told_new(void)
{
	struct told *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	for (unsigned int i = 0; i < SHARDS; i++)
		pthread_mutex_init(&t->shards[i].lock, NULL);
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void told_free(struct told *t)
{
	if (!t)
		return;
	for (unsigned int i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&t->shards[i].lock);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static uint64_t hash(uint64_t ino)
{
	return ino * UINT64_C(0x9e3779b97f4a7c15) >> 48;
}

/* Locked. */
static struct shard *find(struct told *t, uint64_t ino, uint64_t **slot)
{
	uint64_t h = hash(ino);
	struct shard *s = &t->shards[h % SHARDS];

	*slot = &s->untold[h / SHARDS % SLOTS];
	pthread_mutex_lock(&s->lock);
	return s;
}

void told_soon(struct told *t, uint64_t ino)
{
	uint64_t *slot;
	struct shard *s = find(t, ino, &slot);

	if (*slot == ino)
		*slot = 0;
	pthread_mutex_unlock(&s->lock);
}

void told_changed(struct told *t, struct fuse_session *session, uint64_t ino)
{
	uint64_t *slot;
	struct shard *s = find(t, ino, &slot);

	if (*slot != ino) {
		*slot = ino;
		/* Where it fails the kernel has forgotten the inode. */
		fuse_lowlevel_notify_inval_inode(session, ino, -1, 0);
	}
	pthread_mutex_unlock(&s->lock);
}

void told_removing(struct told *t)
{
	atomic_fetch_add(&t->removing, 1);
}

/* What was removed long ago is forgotten; locked. */
static void forget_old(struct told *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec - t->since < SUBTRACTED_S)
		return;
	if (now.tv_sec - t->since < 2 * SUBTRACTED_S)
		memcpy(t->removed[1], t->removed[0], sizeof(t->removed[1]));
	else
		memset(t->removed[1], 0, sizeof(t->removed[1]));
	memset(t->removed[0], 0, sizeof(t->removed[0]));
	t->since = now.tv_sec;
}

void told_removed(struct told *t, uint64_t ino)
{
	uint64_t h = hash(ino);

	if (ino != 0) {
		pthread_mutex_lock(&t->lock);
		forget_old(t);
		t->removed[0][h / 64] |= UINT64_C(1) << h % 64;
		pthread_mutex_unlock(&t->lock);
	}
	atomic_fetch_sub(&t->removing, 1);
}

bool told_subtracts(struct told *t, uint64_t ino)
{
	uint64_t h = hash(ino);
	bool removed;

	if (atomic_load(&t->removing) > 0)
		return true;
	pthread_mutex_lock(&t->lock);
	forget_old(t);
	removed = (t->removed[0][h / 64] | t->removed[1][h / 64]) & UINT64_C(1) << h % 64;
	pthread_mutex_unlock(&t->lock);
	return removed;
}
