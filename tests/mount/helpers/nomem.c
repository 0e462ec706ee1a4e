/*
 * nomem: for LD_PRELOAD: memory that runs out now and then, when a test wants it to.
 *
 * The first byte of the file NOMEM says for how many of 256 calls malloc() and its like fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static const volatile unsigned char *chance;

__attribute__((constructor)) static void look(void)
{
	const char *name = getenv("NOMEM");
	int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);

	if (fd >= 0)
		close(fd);
	if (p != MAP_FAILED)
		chance = p;
}

static int fails(void)
{
	static atomic_uint calls;
	unsigned int n;

	if (!chance || *chance == 0)
		return 0;
	n = atomic_fetch_add(&calls, 1) * 2654435761u;
	if (n >> 24 >= *chance)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}
