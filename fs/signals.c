#include "fs/signals.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static FILE *open_proc(uint32_t pid, const char *file)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, file);
	return fopen(path, "re");
}

/* The masks of signals in /proc/PID/status. */
enum mask { PENDING, SHARED_PENDING, BLOCKED, IGNORED, CAUGHT, MASKS };

static const char *const mask_names[MASKS] = {
	[PENDING] = "SigPnd:", [SHARED_PENDING] = "ShdPnd:", [BLOCKED] = "SigBlk:",
	[IGNORED] = "SigIgn:", [CAUGHT] = "SigCgt:",
};

/*
 * Line by line: the masks stand behind the groups, and a process may be in 65,536 of those.
 * False: the process is not there any more.
 */
static bool read_masks(uint32_t pid, uint64_t mask[MASKS])
{
	FILE *f = open_proc(pid, "status");
	bool alive = false;
	char *line = NULL;
	size_t size = 0;

	if (!f)
		return false;
	memset(mask, 0, MASKS * sizeof(mask[0]));
	while (getline(&line, &size, f) > 0) {
		if (strncmp(line, "State:\t", 7) == 0)
			alive = line[7] != 'Z' && line[7] != 'X';
		for (int i = 0; i < MASKS; i++)
			if (strncmp(line, mask_names[i], strlen(mask_names[i])) == 0)
				mask[i] = strtoull(line + strlen(mask_names[i]), NULL, 16);
	}
	free(line);
	fclose(f);
	return alive;
}

/* The kernel makes a SIGKILL of what ends a process without a core, in each of its threads. */
bool signals_fatal(uint32_t pid)
{
	uint64_t mask[MASKS];

	return pid == 0 || !read_masks(pid, mask) ||
	    ((mask[PENDING] | mask[SHARED_PENDING]) & ~HARMLESS & ~mask[BLOCKED] & ~mask[IGNORED] &
		~mask[CAUGHT]) != 0;
}

bool signals_deaf(uint32_t pid)
{
	FILE *f = pid != 0 ? open_proc(pid, "stat") : NULL;
	char stat[1024], *end;
	unsigned int flags;
	size_t n;

	if (!f)
		return false;
	n = fread(stat, 1, sizeof(stat) - 1, f);
	fclose(f);
	stat[n] = '\0';
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
