/* nodes: fifos, sockets and devices. */
#include "posix.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static void mknod_makes_every_kind_with_its_mode(void)
{
	static const mode_t kinds[] = { S_IFREG, S_IFIFO, S_IFSOCK };

	for (size_t i = 0; i < COUNT(kinds); i++) {
		OK(mknod("node", kinds[i] | 0640, 0));
		SAME(look("node").st_mode, kinds[i] | 0640);
		SAME(look("node").st_nlink, 1);
		SAME(look("node").st_size, 0);
		FAILS(EEXIST, mknod("node", kinds[i] | 0640, 0));
		OK(unlink("node"));
	}
	OK(mknod("node", 0600, 0));
	SAME(look("node").st_mode, S_IFREG | 0600);
	FAILS(EPERM, mknod("dir", S_IFDIR | 0755, 0));
	FAILS(EINVAL, mknod("link", S_IFLNK | 0777, 0));
}

static void a_device_keeps_its_type_mode_and_number(void)
{
	static const struct { mode_t kind; unsigned int major, minor; } devices[] = {
		{ S_IFCHR, 1, 3 }, { S_IFBLK, 4095, 1048575 }, { S_IFCHR, 259, 65536 }, { S_IFBLK, 0, 1 },
	};

	for (size_t i = 0; i < COUNT(devices); i++) {
		OK(mknod("node", devices[i].kind | 0600, makedev(devices[i].major, devices[i].minor)));
		SAME(look("node").st_mode, devices[i].kind | 0600);
		SAME(major(look("node").st_rdev), devices[i].major);
		SAME(minor(look("node").st_rdev), devices[i].minor);
		OK(chmod("node", 0644));
		OK(chown("node", 1, 2));
		OK(rename("node", "other"));
		SAME(minor(look("other").st_rdev), devices[i].minor);
		OK(unlink("other"));
	}
}

static void a_device_is_opened_as_what_it_is(void)
{
	char c = 'x';
	int fd;

	OK(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	OK(mknod("none", S_IFCHR | 0666, makedev(0, 0)));
	fd = open("null", O_RDWR);
	if (fd < 0 && errno == EACCES)
		SKIP("mounted with nodev");
	OK(fd);
	SAME(write(fd, &c, 1), 1);
	SAME(read(fd, &c, 1), 0);
	SAME(look_fd(fd).st_rdev, makedev(1, 3));
	FAILS(ENXIO, open("none", O_RDONLY));
}

static void only_root_makes_devices(void)
{
	OK(chmod(".", 0777));
	AS(ALICE) {
		FAILS(EPERM, mknod("char", S_IFCHR | 0600, makedev(1, 3)));
		FAILS(EPERM, mknod("block", S_IFBLK | 0600, makedev(1, 3)));
		OK(mknod("fifo", S_IFIFO | 0600, 0));
		OK(mknod("sock", S_IFSOCK | 0600, 0));
		/* An entry of an overlay's whiteout: no device. */
		OK(mknod("whiteout", S_IFCHR, makedev(0, 0)));
	}
	SAME(look("fifo").st_uid, ALICE_ID);
}

static void a_fifo_carries_bytes(void)
{
	char got[16] = "";
	int fd;

	OK(mkfifo("fifo", 0640));
	FAILS(ENXIO, open("fifo", O_WRONLY | O_NONBLOCK));
	fd = (int)OK(open("fifo", O_RDONLY | O_NONBLOCK));
	SAME(read(fd, got, sizeof got), 0);
	IN_CHILD {
		int to = (int)OK(open("fifo", O_WRONLY));

		SAME(write(to, "through", 7), 7);
		FAILS(ESPIPE, lseek(to, 0, SEEK_SET));
		FAILS(ESPIPE, pwrite(to, "x", 1, 0));
		FAILS(EINVAL, ftruncate(to, 0));
	}
	SAME(read(fd, got, sizeof got), 7);
	TEXT(got, "through");
	FAILS(EINVAL, truncate("fifo", 0));
	SAME(look("fifo").st_size, 0);
	OK(rename("fifo", "other"));
	OK(unlink("other"));
}

static int bound(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int s = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));

	strcpy(address.sun_path, path);
	return bind(s, (struct sockaddr *)&address, sizeof address) < 0 ? -1 : s;
}

static int connected(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int s = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));

	strcpy(address.sun_path, path);
	return connect(s, (struct sockaddr *)&address, sizeof address) < 0 ? -1 : s;
}

static void a_socket_is_bound_connected_to_and_renamed(void)
{
	int s = (int)OK(bound("sock")), t;
	char got = 0;

	OK(listen(s, 1));
	YES(S_ISSOCK(look("sock").st_mode));
	FAILS(EADDRINUSE, bound("sock"));
	OK(rename("sock", "moved"));
	t = (int)OK(connected("moved"));
	OK(write(t, "x", 1));
	SAME(read((int)OK(accept(s, NULL, NULL)), &got, 1), 1);
	SAME(got, 'x');
	FAILS(ENXIO, open("moved", O_RDONLY));
	FAILS(ENXIO, open("moved", O_RDWR));
	OK(close(s));
	FAILS(ECONNREFUSED, connected("moved"));
	OK(chmod("moved", 0));
	OK(unlink("moved"));
}

static void a_node_that_is_made_moves_the_times_of_its_directory(void)
{
	OK(mkdir("dir", 0755));
	age("dir");
	MOVES("dir", "mc", OK(mkfifo("dir/fifo", 0600)));
	age("dir");
	MOVES("dir", "mc", OK(mknod("dir/sock", S_IFSOCK | 0600, 0)));
	MOVES("dir", "", FAILS(EEXIST, mkfifo("dir/fifo", 0600)));
}

const struct test nodes_tests[] = {
	T(mknod_makes_every_kind_with_its_mode),
	ROOT(a_device_keeps_its_type_mode_and_number),
	ROOT(a_device_is_opened_as_what_it_is),
	ROOT(only_root_makes_devices),
	T(a_fifo_carries_bytes),
	T(a_socket_is_bound_connected_to_and_renamed),
	T(a_node_that_is_made_moves_the_times_of_its_directory),
	{ 0 }
};
