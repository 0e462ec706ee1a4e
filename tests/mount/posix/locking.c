/* locking: flock, fcntl and OFD locks, and leases. */
#include "posix.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static int locked(int fd, int command, short type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, command, &l);
}

static void flock_keeps_others_out_until_it_is_released(void)
{
	int fd, other;

	make("f", "");
	fd = (int)OK(open("f", O_RDWR));
	other = (int)OK(open("f", O_RDONLY));
	OK(flock(fd, LOCK_EX));
	FAILS(EWOULDBLOCK, flock(other, LOCK_EX | LOCK_NB));
	FAILS(EWOULDBLOCK, flock(other, LOCK_SH | LOCK_NB));
	IN_CHILD {
		FAILS(EWOULDBLOCK, flock((int)OK(open("f", O_RDWR)), LOCK_SH | LOCK_NB));
		/* Inherited: the same lock. */
		OK(flock(fd, LOCK_EX | LOCK_NB));
	}
	OK(flock(fd, LOCK_SH));
	OK(flock(other, LOCK_SH | LOCK_NB));
	FAILS(EWOULDBLOCK, flock(other, LOCK_EX | LOCK_NB));
	OK(flock(fd, LOCK_UN));
	OK(flock(other, LOCK_EX | LOCK_NB));
	OK(close(other));
	OK(flock(fd, LOCK_EX | LOCK_NB));
	FAILS(EINVAL, flock(fd, 0));
	FAILS(EBADF, flock(1234, LOCK_EX));
}

static void record_locks_keep_other_processes_out_of_a_range(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	pid_t me = getpid();
	int fd;

	fill("f", zeros(100), 100);
	fd = (int)OK(open("f", O_RDWR));
	OK(locked(fd, F_SETLK, F_WRLCK, 10, 10));
	IN_CHILD {
		int other = (int)OK(open("f", O_RDWR));

		FAILS(EAGAIN, locked(other, F_SETLK, F_WRLCK, 15, 10));
		FAILS(EAGAIN, locked(other, F_SETLK, F_RDLCK, 0, 0));
		OK(locked(other, F_SETLK, F_WRLCK, 20, 10));
		OK(fcntl(other, F_GETLK, &l));
		SAME(l.l_type, F_WRLCK);
		SAME(l.l_start, 10);
		SAME(l.l_len, 10);
		SAME(l.l_pid, me);
	}
	OK(locked(fd, F_SETLK, F_UNLCK, 12, 2));
	IN_CHILD {
		int other = (int)OK(open("f", O_RDWR));

		OK(locked(other, F_SETLK, F_WRLCK, 12, 2));
		FAILS(EAGAIN, locked(other, F_SETLK, F_WRLCK, 14, 1));
	}
	FAILS(EBADF, locked((int)OK(open("f", O_RDONLY)), F_SETLK, F_WRLCK, 0, 1));
	FAILS(EINVAL, locked(fd, F_SETLK, 99, 0, 1));
	FAILS(EINVAL, locked(fd, F_SETLK, F_WRLCK, -1, 1));
	FAILS(EOVERFLOW, locked(fd, F_SETLK, F_WRLCK, INT64_MAX, 2));
}

static void closing_any_descriptor_releases_the_record_locks_of_the_process(void)
{
	int fd;

	make("f", "x");
	fd = (int)OK(open("f", O_RDWR));
	OK(locked(fd, F_SETLK, F_WRLCK, 0, 0));
	IN_CHILD FAILS(EAGAIN, locked((int)OK(open("f", O_RDWR)), F_SETLK, F_WRLCK, 0, 0));
	OK(close((int)OK(open("f", O_RDONLY))));
	IN_CHILD OK(locked((int)OK(open("f", O_RDWR)), F_SETLK, F_WRLCK, 0, 0));
}

static void locks_of_an_open_file_description_are_its_own(void)
{
	int fd, other;

	make("f", "x");
	fd = (int)OK(open("f", O_RDWR));
	other = (int)OK(open("f", O_RDWR));
	OK(locked(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
	FAILS(EAGAIN, locked(other, F_OFD_SETLK, F_WRLCK, 5, 1));
	FAILS(EAGAIN, locked(other, F_SETLK, F_WRLCK, 5, 1));
	OK(close((int)OK(open("f", O_RDONLY))));
	FAILS(EAGAIN, locked(other, F_OFD_SETLK, F_RDLCK, 5, 1));
	IN_CHILD OK(locked(fd, F_OFD_SETLK, F_WRLCK, 0, 20));
	FAILS(EAGAIN, locked(other, F_OFD_SETLK, F_WRLCK, 15, 1));
	OK(close(fd));
	OK(locked(other, F_OFD_SETLK, F_WRLCK, 0, 0));
}

static void who_waits_for_a_lock_gets_it_when_its_holder_is_killed(void)
{
	make("f", "x");
	for (int kind = 0; kind < 2; kind++) {
		pid_t holder, waiter;
		int ready[2];
		char c;

		OK(pipe(ready));
		holder = (pid_t)OK(fork());
		if (holder == 0) {
			int fd = (int)OK(open("f", O_RDWR));

			OK(kind ? flock(fd, LOCK_EX) : locked(fd, F_SETLKW, F_WRLCK, 0, 0));
			OK(write(ready[1], "x", 1));
			pause();
		}
		OK(read(ready[0], &c, 1));
		waiter = (pid_t)OK(fork());
		if (waiter == 0) {
			int fd = (int)OK(open("f", O_RDWR));

			OK(kind ? flock(fd, LOCK_EX) : locked(fd, F_SETLKW, F_WRLCK, 0, 0));
			_exit(0);
		}
		pause_ms(50);
		SAME(waitpid(waiter, NULL, WNOHANG), 0);
		OK(kill(holder, SIGKILL));
		OK(waitpid(holder, NULL, 0));
		reap(waiter);
	}
}

static void on_alarm(int number)
{
	(void)number;
}

static void waiting_for_a_lock_is_interrupted_by_a_signal(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	int fd, other;

	make("f", "x");
	OK(sigaction(SIGALRM, &action, NULL));
	fd = (int)OK(open("f", O_RDWR));
	other = (int)OK(open("f", O_RDWR));
	OK(flock(fd, LOCK_EX));
	OK(locked(fd, F_OFD_SETLK, F_WRLCK, 0, 0));
	alarm(1);
	FAILS(EINTR, flock(other, LOCK_EX));
	alarm(1);
	FAILS(EINTR, locked(other, F_OFD_SETLKW, F_WRLCK, 0, 0));
}

static void two_who_wait_for_each_other_are_told(void)
{
	int there_[2], fd;
	pid_t pid;
	char c;

	make("f", "xy");
	OK(pipe(there_));
	fd = (int)OK(open("f", O_RDWR));
	OK(locked(fd, F_SETLK, F_WRLCK, 0, 1));
	pid = (pid_t)OK(fork());
	if (pid == 0) {
		OK(locked(fd, F_SETLK, F_WRLCK, 1, 1));
		OK(write(there_[1], "x", 1));
		OK(locked(fd, F_SETLKW, F_WRLCK, 0, 1));
		_exit(0);
	}
	OK(read(there_[0], &c, 1));
	pause_ms(100);
	FAILS(EDEADLK, locked(fd, F_SETLKW, F_WRLCK, 1, 1));
	OK(locked(fd, F_SETLK, F_UNLCK, 0, 0));
	reap(pid);
}

static void a_locked_file_can_be_read_written_renamed_and_removed(void)
{
	int fd;

	make("f", "12345");
	fd = (int)OK(open("f", O_RDWR));
	OK(flock(fd, LOCK_EX));
	OK(locked(fd, F_SETLK, F_WRLCK, 0, 0));
	IN_CHILD {
		content("f", "12345");
		make("f", "123");
		OK(rename("f", "g"));
		OK(unlink("g"));
	}
	SAME(look_fd(fd).st_size, 3);
}

static void a_lease_is_taken_told_and_given_back(void)
{
	int fd;

	signal(SIGIO, SIG_IGN);
	make("f", "x");
	fd = (int)OK(open("f", O_RDONLY));
	OK(fcntl(fd, F_SETLEASE, F_RDLCK));
	SAME(fcntl(fd, F_GETLEASE), F_RDLCK);
	FAILS(EWOULDBLOCK, open("f", O_WRONLY | O_NONBLOCK));
	OK(fcntl(fd, F_SETLEASE, F_UNLCK));
	OK(open("f", O_RDWR));
	FAILS(EAGAIN, fcntl(fd, F_SETLEASE, F_RDLCK));
}

const struct test locking_tests[] = {
	T(flock_keeps_others_out_until_it_is_released),
	T(record_locks_keep_other_processes_out_of_a_range),
	T(closing_any_descriptor_releases_the_record_locks_of_the_process),
	T(locks_of_an_open_file_description_are_its_own),
	T(who_waits_for_a_lock_gets_it_when_its_holder_is_killed),
	T(waiting_for_a_lock_is_interrupted_by_a_signal),
	T(two_who_wait_for_each_other_are_told),
	T(a_lease_is_taken_told_and_given_back),
	T(a_locked_file_can_be_read_written_renamed_and_removed),
	{ 0 }
};
