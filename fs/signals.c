#include "fs/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BIT(signal) (UINT64_C(1) << ((signal) - 1))

/* Whose default is not to end the process. */
#define HARMLESS (BIT(SIGCHLD) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGCONT) | BIT(SIGSTOP) | \
	BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU))

/* The kernel's flags of a task, in /proc/PID/stat. */
#define PF_EXITING	0x4u
#define PF_KTHREAD	0x200000u

uint64_t signals_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t mask_of(const char *status, const char *field)
{
	const char *at = strstr(status, field);

	return at ? strtoull(at + strlen(field), NULL, 16) : 0;
}

/* The text of /proc/${pid}/${file}: false: it can't be read. */
static bool read_proc(uint32_t pid, const char *file, char *text, size_t size)
{
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The kernel makes a SIGKILL of what ends a process without a core, in each of its threads. */
bool signals_fatal(uint32_t pid)
{
	char status[4096];
	uint64_t pending;

	if (pid == 0 || !read_proc(pid, "status", status, sizeof(status)) ||
	    strstr(status, "\nState:\tZ") || strstr(status, "\nState:\tX"))
		return true;
	pending = mask_of(status, "\nSigPnd:") | mask_of(status, "\nShdPnd:");
	return pending & ~HARMLESS & ~mask_of(status, "\nSigBlk:") &
	    ~mask_of(status, "\nSigIgn:") & ~mask_of(status, "\nSigCgt:");
}

bool signals_deaf(uint32_t pid)
{
	char stat[1024], *end;
	unsigned int flags;

	if (pid == 0 || !read_proc(pid, "stat", stat, sizeof(stat)))
		return false;
	/* Behind the name: state, five numbers, flags. */
	end = strrchr(stat, ')');
	if (!end || sscanf(end, ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
		return false;
	/* A server of NFS is one of the kernel's too: it looks at its answers. */
	return flags & PF_EXITING || (flags & PF_KTHREAD && strstr(stat, "flush-"));
}

bool signals_count(const struct interruption *i)
{
	return signals_now_ms() - i->since_ms >= SIGNALS_GRACE_MS || signals_fatal(i->pid);
}
