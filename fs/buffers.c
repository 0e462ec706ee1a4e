#include "fs/buffers.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAP_MAX (16u << 20)	/* bytes that are free in heaps, and more than the last trim left */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* protects what follows */
static void *kept[BUFFERS_MAX];
static unsigned int count;
static unsigned int least;	/* count's minimum since the last trim */

void *buffers_take(void)
{
	void *mem = NULL;

	pthread_mutex_lock(&lock);
	if (count > 0)
		mem = kept[--count];
	if (count < least)
		least = count;
	pthread_mutex_unlock(&lock);
	return mem;
}

void buffers_give(void *mem)
{
	pthread_mutex_lock(&lock);
	if (mem && count < BUFFERS_MAX) {
		kept[count++] = mem;
		mem = NULL;
	}
	pthread_mutex_unlock(&lock);
	free(mem);
}

void buffers_trim(void)
{
	static size_t left;
	void *unused[BUFFERS_MAX];
	unsigned int n = 0;
	size_t unused_heap;

	pthread_mutex_lock(&lock);
	/* The last ones in are the first ones out: those that were not needed are at the bottom. */
	while (n < least) {
		unused[n] = kept[n];
		n++;
	}
	count -= n;
	for (unsigned int i = 0; i < count; i++)
		kept[i] = kept[n + i];
	least = count;
	pthread_mutex_unlock(&lock);
	while (n > 0)
		free(unused[--n]);
	/* The heaps keep what lies between pieces that are still used: small writes leave much of that. */
	unused_heap = mallinfo2().fordblks;
	if (unused_heap < left)
		left = unused_heap;
	if (unused_heap > left + HEAP_MAX) {
		malloc_trim(0);
		left = unused_heap;
	}
}

void buffers_cut(void *mem, size_t used, size_t size)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)mem + used + page - 1) & ~(page - 1);
	uintptr_t to = ((uintptr_t)mem + size) & ~(page - 1);

	/* A little is not worth the call, and the page faults of the next use. */
	if (from < to && to - from >= size / 8)
		madvise((void *)from, to - from, MADV_DONTNEED);
}
