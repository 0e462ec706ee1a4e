/* opening: the flags of open(2), and descriptors. */
#include "posix.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void O_EXCL_refuses_a_name_that_exists_a_dangling_symlink_too(void)
{
	const int flags = O_CREAT | O_EXCL | O_WRONLY;

	OK(close((int)OK(open("new", flags, 0644))));
	FAILS(EEXIST, open("new", flags, 0644));
	OK(symlink("nowhere", "dangling"));
	FAILS(EEXIST, open("dangling", flags, 0644));
	OK(mkdir("dir", 0755));
	FAILS(EEXIST, open("dir", flags, 0644));
	OK(mkfifo("fifo", 0644));
	FAILS(EEXIST, open("fifo", flags, 0644));
	OK(close((int)OK(open("dangling", O_CREAT | O_WRONLY, 0644))));
	YES(there("nowhere"));
	FAILS(ENOENT, open("none", O_EXCL | O_WRONLY));
}

static void of_many_who_create_with_O_EXCL_one_succeeds(void)
{
	enum { PROCESSES = 8, ROUNDS = 30 };
	int won[2], go[2];
	char name[16], c;

	for (int round = 0; round < ROUNDS; round++) {
		pid_t pids[PROCESSES];

		snprintf(name, sizeof name, "f%d", round);
		OK(pipe(won));
		OK(pipe(go));
		for (int i = 0; i < PROCESSES; i++) {
			pids[i] = (pid_t)OK(fork());
			if (pids[i] > 0)
				continue;
			OK(close(go[1]));
			OK(read(go[0], &c, 1));
			if (open(name, O_CREAT | O_EXCL | O_WRONLY, 0644) >= 0)
				OK(write(won[1], "x", 1));
			else
				SAME(errno, EEXIST);
			_exit(0);
		}
		OK(close(go[1]));
		for (int i = 0; i < PROCESSES; i++)
			reap(pids[i]);
		OK(close(won[1]));
		OK(close(go[0]));
		SAME(read(won[0], name, sizeof name), 1);
		OK(close(won[0]));
	}
}

static void O_TRUNC_empties_a_file_and_nothing_else(void)
{
	unsigned char *data = noise(300000, 1);
	int fd;

	fill("f", data, 300000);
	fd = (int)OK(open("f", O_WRONLY | O_TRUNC));
	SAME(look("f").st_size, 0);
	SAME(look_fd(fd).st_size, 0);
	content("f", "");
	OK(close(fd));
	fill("f", data, 300000);
	FAILS(EEXIST, open("f", O_CREAT | O_EXCL | O_TRUNC | O_WRONLY, 0644));
	FAILS(ENOTDIR, open("f", O_DIRECTORY | O_TRUNC | O_WRONLY));
	filled("f", data, 300000);
	FAILS(EISDIR, open(".", O_WRONLY | O_TRUNC));
}

static void descriptors_keep_to_the_direction_they_were_opened_for(void)
{
	char c = 'x';
	int r, w, path;

	make("f", "12345");
	r = (int)OK(open("f", O_RDONLY));
	w = (int)OK(open("f", O_WRONLY));
	path = (int)OK(open("f", O_PATH));
	FAILS(EBADF, write(r, &c, 1));
	FAILS(EBADF, read(w, &c, 1));
	FAILS(EINVAL, ftruncate(r, 0));
	FAILS(EBADF, fallocate(r, 0, 0, 10));
	FAILS(EBADF, read(path, &c, 1));
	FAILS(EBADF, fsync(path));
	FAILS(EBADF, ftruncate(path, 0));
	OK(fchmod(w, 0600));
	FAILS(EBADF, close(1234));
	FAILS(EBADF, read(1234, &c, 1));
	FAILS(EBADF, fsync(1234));
	FAILS(EBADF, openat(1234, "f", O_RDONLY));
	FAILS(ENOTDIR, openat(r, "f", O_RDONLY));
	FAILS(EACCES, mmap(NULL, 5, PROT_READ, MAP_SHARED, w, 0) == MAP_FAILED ? -1 : 0);
	FAILS(EACCES, mmap(NULL, 5, PROT_WRITE, MAP_SHARED, r, 0) == MAP_FAILED ? -1 : 0);
	content("f", "12345");
}

static void O_APPEND_writes_at_the_end_wherever_others_have_put_it(void)
{
	char text[8];
	int a = (int)OK(open("f", O_CREAT | O_WRONLY | O_APPEND, 0644)), b = (int)OK(open("f", O_WRONLY | O_APPEND));

	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof text, "a%02d", i);
		SAME(write(a, text, 3), 3);
		SAME(lseek(a, 0, SEEK_CUR), 6 * i + 3);
		OK(lseek(b, 0, SEEK_SET));
		text[0] = 'b';
		SAME(write(b, text, 3), 3);
	}
	OK(ftruncate(a, 3));
	OK(write(b, "end", 3));
	content("f", "a00end");
	OK(pwrite(b, "!", 1, 0));	/* Linux appends all the same */
	content("f", "a00end!");
	OK(fcntl(b, F_SETFL, 0));
	OK(pwrite(b, "A", 1, 0));
	content("f", "A00end!");
	OK(fcntl(b, F_SETFL, O_APPEND));
	OK(write(b, "?", 1));
	content("f", "A00end!?");
}

static void what_several_processes_append_is_all_there_and_whole(void)
{
	enum { PROCESSES = 4, RECORDS = 400, LEN = 37 };
	unsigned int seen[PROCESSES] = { 0 };
	char record[LEN + 1];
	pid_t pids[PROCESSES];
	int fd;

	make("f", "");
	for (unsigned int i = 0; i < PROCESSES; i++) {
		pids[i] = (pid_t)OK(fork());
		if (pids[i] > 0)
			continue;
		fd = (int)OK(open("f", O_WRONLY | O_APPEND));
		for (unsigned int j = 0; j < RECORDS; j++) {
			snprintf(record, sizeof record, "%u:%05u:%028u\n", i, j, j * 7);
			SAME(write(fd, record, LEN - 1), LEN - 1);
		}
		_exit(0);
	}
	for (int i = 0; i < PROCESSES; i++)
		reap(pids[i]);
	SAME(look("f").st_size, PROCESSES * RECORDS * (LEN - 1));
	fd = (int)OK(open("f", O_RDONLY));
	while (OK(read(fd, record, LEN - 1)) == LEN - 1) {
		unsigned int who, which;

		SAME(sscanf(record, "%u:%05u:", &who, &which), 2);
		YES(who < PROCESSES);
		SAME(which, seen[who]++);
	}
	for (int i = 0; i < PROCESSES; i++)
		SAME(seen[i], RECORDS);
}

static void a_file_that_is_run_is_not_written_and_one_that_is_written_not_run(void)
{
	int to_child[2], fd, status;
	pid_t pid;

	IN_CHILD {
		int from = (int)OK(open("/bin/cat", O_RDONLY)), to = (int)OK(open("cat", O_CREAT | O_WRONLY, 0755));

		while (copy_file_range(from, NULL, to, NULL, MIB, 0) > 0 || (errno == EXDEV && ({
			char buf[65536];
			ssize_t n = read(from, buf, sizeof buf);

			n > 0 && write(to, buf, (size_t)n) == n;
		})))
			;
	}
	OK(pipe(to_child));
	pid = (pid_t)OK(fork());
	if (pid == 0) {
		OK(dup2(to_child[0], 0));
		OK(close(to_child[1]));
		execl("./cat", "cat", NULL);
		_exit(77);
	}
	OK(close(to_child[0]));
	for (fd = 0; fd >= 0; ) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			SKIP("no program can be run here");
		/* Until it has been run. */
		fd = open("cat", O_WRONLY);
		if (fd >= 0)
			OK(close(fd));
	}
	SAME(errno, ETXTBSY);
	FAILS(ETXTBSY, truncate("cat", 0));
	FAILS(ETXTBSY, open("cat", O_RDWR));
	OK(close((int)OK(open("cat", O_RDONLY))));
	OK(close(to_child[1]));
	reap(pid);
	fd = (int)OK(open("cat", O_WRONLY));
	IN_CHILD FAILS(ETXTBSY, execl("./cat", "cat", NULL));
}

static void a_descriptor_is_opened_again_through_proc(void)
{
	char path[64], c;
	int fd, again;

	make("f", "12345");
	fd = (int)OK(open("f", O_RDONLY));
	OK(unlink("f"));
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	again = (int)OK(open(path, O_RDWR));
	SAME(pread(again, &c, 1, 4), 1);
	SAME(c, '5');
	OK(pwrite(again, "x", 1, 4));
	SAME(pread(fd, &c, 1, 4), 1);
	SAME(c, 'x');
	OK(close((int)OK(open(path, O_RDWR | O_TRUNC))));
	SAME(look_fd(fd).st_size, 0);
}

static void descriptors_share_a_place_when_they_were_copied_and_not_when_opened_twice(void)
{
	int fd, other, copy;
	char c;

	make("f", "12345");
	fd = (int)OK(open("f", O_RDONLY));
	other = (int)OK(open("f", O_RDONLY));
	copy = (int)OK(dup(fd));
	OK(read(fd, &c, 1));
	OK(read(copy, &c, 1));
	SAME(c, '2');
	OK(read(other, &c, 1));
	SAME(c, '1');
	IN_CHILD OK(read(fd, &c, 1));
	OK(read(copy, &c, 1));
	SAME(c, '4');
	OK(close(fd));
	OK(read(copy, &c, 1));
	SAME(c, '5');
}

static void O_DIRECT_needs_whole_blocks_at_most(void)
{
	unsigned char *data = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *back = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644), plain;

	if (fd < 0 && errno == EINVAL)
		SKIP("no O_DIRECT");
	OK(fd);
	memcpy(data, noise(MIB, 1), MIB);
	plain = (int)OK(open("f", O_RDWR));
	SAME(pwrite(fd, data, MIB, 0), MIB);
	SAME(pread(plain, back, MIB, 0), MIB);
	BYTES(back, data, MIB);
	OK(pwrite(plain, "through the cache", 17, 5000));
	memcpy(data + 5000, "through the cache", 17);
	SAME(pread(fd, back, MIB, 0), MIB);
	BYTES(back, data, MIB);
	SAME(pwrite(fd, data + 4096, 8192, 65536), 8192);
	memcpy(data + 65536, data + 4096, 8192);
	SAME(pread(plain, back, 8192, 65536), 8192);
	BYTES(back, data + 65536, 8192);
	SAME(pwrite(fd, data, 4096, 4 * MIB), 4096);
	SAME(look("f").st_size, 4 * MIB + 4096);
	SAME(pread(fd, back, 8192, 4 * MIB), 4096);
	SAME(pread(fd, back, 4096, 5 * MIB), 0);
	SAME(pread(fd, back, 4096, 2 * MIB), 4096);
	BYTES(back, zeros(4096), 4096);
	OK(ftruncate(fd, 1000));
	SAME(pread(fd, back, 4096, 0), 1000);
	BYTES(back, data, 1000);
	OK(fcntl(fd, F_SETFL, 0));
	SAME(pwrite(fd, "odd", 3, 997), 3);
	SAME(look("f").st_size, 1000);
}

static void O_SYNC_and_O_DSYNC_write_and_every_sync_succeeds(void)
{
	static const int flags[] = { O_SYNC, O_DSYNC, O_SYNC | O_APPEND };
	unsigned char *data = noise(25000, 1);

	for (size_t i = 0; i < COUNT(flags); i++) {
		int fd = (int)OK(open("f", O_CREAT | O_TRUNC | O_RDWR | flags[i], 0644));

		for (int j = 0; j < 5; j++)
			SAME(write(fd, data + 5000 * j, 5000), 5000);
		OK(fsync(fd));
		OK(fdatasync(fd));
		OK(syncfs(fd));
		OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
		    SYNC_FILE_RANGE_WAIT_AFTER));
		OK(close(fd));
		filled("f", data, 25000);
	}
	int dir = (int)OK(open(".", O_RDONLY));
	OK(fsync(dir));
	OK(syncfs(dir));
	sync();
}

static void opening_many_descriptors_of_one_file_and_of_many_works(void)
{
	enum { N = 500 };
	static int fds[N];
	char name[16];

	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof name, "f%d", i / 2);
		fds[i] = (int)OK(open(name, O_CREAT | O_RDWR, 0644));
		OK(pwrite(fds[i], name, strlen(name), 0));
	}
	for (int i = 0; i < N; i++)
		OK(close(fds[i]));
	for (int i = 0; i < N / 2; i++) {
		snprintf(name, sizeof name, "f%d", i);
		content(name, name);
	}
}

const struct test opening_tests[] = {
	T(O_EXCL_refuses_a_name_that_exists_a_dangling_symlink_too),
	T(of_many_who_create_with_O_EXCL_one_succeeds),
	T(O_TRUNC_empties_a_file_and_nothing_else),
	T(descriptors_keep_to_the_direction_they_were_opened_for),
	T(O_APPEND_writes_at_the_end_wherever_others_have_put_it),
	T(what_several_processes_append_is_all_there_and_whole),
	T(a_file_that_is_run_is_not_written_and_one_that_is_written_not_run),
	T(a_descriptor_is_opened_again_through_proc),
	T(descriptors_share_a_place_when_they_were_copied_and_not_when_opened_twice),
	T(O_DIRECT_needs_whole_blocks_at_most),
	T(O_SYNC_and_O_DSYNC_write_and_every_sync_succeeds),
	T(opening_many_descriptors_of_one_file_and_of_many_works),
	{ 0 }
};
