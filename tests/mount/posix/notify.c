/* notify: inotify and signals tell of local changes. */
#include "posix.h"

#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <time.h>

static int fd_of_watch;

static void watch(const char *path)
{
	fd_of_watch = (int)OK(inotify_init1(IN_NONBLOCK));
	OK(inotify_add_watch(fd_of_watch, path, IN_ALL_EVENTS));
}

/* Has there been such an event, for this name?  All that came before it is passed over. */
static bool told(uint32_t mask, const char *name)
{
	static char buf[65536] __attribute__((aligned(8)));
	static long len, at;

	for (;;) {
		const struct inotify_event *e;

		if (at >= len) {
			at = 0;
			len = read(fd_of_watch, buf, sizeof buf);
			if (len <= 0)
				return false;
		}
		e = (const void *)(buf + at);
		at += (long)sizeof *e + e->len;
		if ((e->mask & mask) && (!name || (e->len && strcmp(e->name, name) == 0)))
			return true;
	}
}

static void inotify_tells_of_names_that_come_and_go(void)
{
	OK(mkdir("dir", 0755));
	watch("dir");
	make("dir/f", "x");
	YES(told(IN_CREATE, "f"));
	YES(told(IN_OPEN, "f"));
	YES(told(IN_MODIFY, "f"));
	YES(told(IN_CLOSE_WRITE, "f"));
	OK(chmod("dir/f", 0600));
	YES(told(IN_ATTRIB, "f"));
	OK(rename("dir/f", "dir/g"));
	YES(told(IN_MOVED_FROM, "f"));
	YES(told(IN_MOVED_TO, "g"));
	OK(mkdir("dir/sub", 0755));
	YES(told(IN_CREATE, "sub"));
	OK(rmdir("dir/sub"));
	YES(told(IN_DELETE, "sub"));
	OK(rename("dir/g", "out"));
	YES(told(IN_MOVED_FROM, "g"));
	OK(link("out", "dir/l"));
	YES(told(IN_CREATE, "l"));
	OK(unlink("dir/l"));
	YES(told(IN_DELETE, "l"));
	YES(!told(IN_ALL_EVENTS, NULL));
	OK(rmdir("dir"));
	YES(told(IN_DELETE_SELF, NULL));
}

static void inotify_tells_of_what_happens_to_a_file(void)
{
	char c;
	int fd;

	make("f", "x");
	watch("f");
	fd = (int)OK(open("f", O_RDWR));
	YES(told(IN_OPEN, NULL));
	OK(read(fd, &c, 1));
	YES(told(IN_ACCESS, NULL));
	OK(ftruncate(fd, 0));
	YES(told(IN_MODIFY, NULL));
	OK(close(fd));
	YES(told(IN_CLOSE_WRITE, NULL));
	OK(rename("f", "g"));
	YES(told(IN_MOVE_SELF, NULL));
	OK(unlink("g"));
	YES(told(IN_DELETE_SELF, NULL));
}

static void a_file_is_always_ready_to_be_read_and_written(void)
{
	struct pollfd p = { .events = POLLIN | POLLOUT };

	make("f", "");
	p.fd = (int)OK(open("f", O_RDWR | O_NONBLOCK));
	SAME(poll(&p, 1, 0), 1);
	SAME(p.revents, POLLIN | POLLOUT);
	SAME(write(p.fd, "x", 1), 1);
}

static void on_alarm(int number)
{
	(void)number;
}

/* As on any local filesystem: a timer of the program makes no call fail. */
static void a_signal_interrupts_neither_reading_writing_nor_fsync(void)
{
	const struct itimerspec soon = { { 0, 500000 }, { 0, 500000 } };
	struct sigaction action = { .sa_handler = on_alarm };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	unsigned char *data = noise(MIB, 1), *got = malloc(MIB);
	timer_t timer;
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	OK(sigaction(SIGUSR1, &action, NULL));
	OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
	OK(timer_settime(timer, 0, &soon, NULL));
	for (int i = 0; i < 30; i++) {
		SAME(pwrite(fd, data, MIB, i * MIB), MIB);
		SAME(fsync(fd), 0);
		OK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
		SAME(pread(fd, got, MIB, i * MIB), MIB);
		BYTES(got, data, MIB);
		OK(close((int)OK(open("other", O_CREAT | O_RDWR, 0644))));
		OK(rename("other", "another"));
	}
	OK(timer_delete(timer));
}

const struct test notify_tests[] = {
	T(inotify_tells_of_names_that_come_and_go),
	T(inotify_tells_of_what_happens_to_a_file),
	T(a_file_is_always_ready_to_be_read_and_written),
	T(a_signal_interrupts_neither_reading_writing_nor_fsync),
	{ 0 }
};
