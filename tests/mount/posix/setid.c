/* setid: when set-id bits and capabilities go, and when they must stay. */
#include "posix.h"

#include <sys/mman.h>
#include <sys/xattr.h>

struct way {
	const char *name;
	void (*change)(int fd);
};

static void by_write(int fd) { OK(write(fd, "y", 1)); }
static void by_pwrite(int fd) { OK(pwrite(fd, "yyyyy", 5, 20000)); }
static void by_truncate(int fd) { (void)fd; OK(truncate("f", 5)); }
static void by_ftruncate(int fd) { OK(ftruncate(fd, 5)); }
static void by_growing(int fd) { OK(ftruncate(fd, 50000)); }
static void by_open(int fd) { (void)fd; OK(open("f", O_WRONLY | O_TRUNC)); }
static void by_fallocate(int fd) { OK(fallocate(fd, 0, 0, 30000)); }
static void by_punch(int fd) { OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 5000)); }
static void by_zero(int fd) { OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 5000)); }
static void by_append(int fd) { (void)fd; OK(write((int)OK(open("f", O_WRONLY | O_APPEND)), "y", 1)); }
static void by_sync(int fd) { (void)fd; OK(write((int)OK(open("f", O_WRONLY | O_SYNC)), "y", 1)); }

static void by_copy(int fd)
{
	loff_t from = 0, to = 5000;

	OK(copy_file_range(fd, &from, fd, &to, 10, 0));
}

static void by_direct(int fd)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)fd;
	OK(write((int)OK(open("f", O_WRONLY | O_DIRECT)), page, 4096));
}

static const struct way ways[] = {
	{ "write", by_write }, { "pwrite", by_pwrite }, { "truncate", by_truncate },
	{ "ftruncate", by_ftruncate }, { "growing", by_growing }, { "O_TRUNC", by_open },
	{ "fallocate", by_fallocate }, { "punching", by_punch }, { "zeroing", by_zero },
	{ "O_APPEND", by_append }, { "O_SYNC", by_sync }, { "copy_file_range", by_copy },
	{ "O_DIRECT", by_direct },
};

static void prepare(mode_t mode)
{
	unsigned char *data = noise(10000, 1);

	fill("f", data, 10000);
	OK(chmod("f", mode));
	free(data);
}

static void expect(const struct way *way, mode_t mode)
{
	if (mode_of("f") != mode)
		printf("# by %s:\n", way->name);
	SAME(mode_of("f"), mode);
}

static void set_id_bits_go_when_another_user_changes_the_content_in_any_way(void)
{
	for (size_t i = 0; i < COUNT(ways); i++) {
		prepare(06777);
		AS(ALICE) {
			int fd = (int)OK(open("f", O_RDWR));

			/* Seen at once, by the writer too. */
			ways[i].change(fd);
			expect(&ways[i], 0777);
			SAME(look_fd(fd).st_mode & 07777, 0777);
		}
		expect(&ways[i], 0777);
		prepare(04766);
		AS(ALICE) ways[i].change((int)OK(open("f", O_RDWR)));
		expect(&ways[i], 0766);
	}
}

static void the_owner_loses_them_too(void)
{
	prepare(0644);
	OK(chown("f", ALICE_ID, ALICE_ID));
	for (size_t i = 0; i < COUNT(ways); i++) {
		prepare(06755);
		OK(chmod("f", 06755));
		AS(ALICE) ways[i].change((int)OK(open("f", O_RDWR)));
		expect(&ways[i], 0755);
	}
}

static void they_stay_when_root_changes_the_content(void)
{
	for (size_t i = 0; i < COUNT(ways); i++) {
		prepare(06755);
		ways[i].change((int)OK(open("f", O_RDWR)));
		expect(&ways[i], 06755);
	}
}

static void they_stay_when_nothing_changes(void)
{
	char buf[16];
	int fd;

	prepare(06777);
	AS(ALICE) {
		fd = (int)OK(open("f", O_RDWR));
		OK(read(fd, buf, sizeof buf));
		OK(write(fd, "", 0));
		OK(fsync(fd));
		OK(close(fd));
		OK(utimensat(AT_FDCWD, "f", NULL, 0));
		FAILS(EINVAL, truncate("f", -1));
	}
	OK(rename("f", "g"));
	OK(link("g", "f"));
	SAME(mode_of("f"), 06777);
}

static void set_gid_without_group_execution_is_no_privilege_of_the_files(void)
{
	prepare(02766);
	AS(.uid = ALICE_ID, .gid = 0) OK(write((int)OK(open("f", O_RDWR)), "y", 1));
	SAME(mode_of("f"), 02766);
}

static void chown_takes_them_from_files_and_leaves_directories(void)
{
	prepare(06755);
	OK(chown("f", ALICE_ID, TEAM));
	SAME(mode_of("f"), 0755);
	OK(chmod("f", 06755));
	OK(chown("f", (uid_t)-1, BOB_ID));
	SAME(mode_of("f"), 0755);
	OK(chmod("f", 06755));
	AS(ALICE, .groups = { TEAM }, .group_count = 1) {
		OK(chown("f", (uid_t)-1, TEAM));
		SAME(mode_of("f"), 0755);
	}
	OK(chmod("f", 06755));
	AS(ALICE) {
		OK(chown("f", (uid_t)-1, (gid_t)-1));
		SAME(mode_of("f"), 0755);
	}
	OK(chmod("f", 02745));
	OK(chown("f", BOB_ID, (gid_t)-1));
	SAME(mode_of("f"), 02745);
	OK(mkdir("dir", 0755));
	OK(chmod("dir", 06755));
	OK(chown("dir", ALICE_ID, TEAM));
	SAME(mode_of("dir"), 06755);
	AS(ALICE, .groups = { TEAM }, .group_count = 1) OK(chown("dir", ALICE_ID, TEAM));
	SAME(mode_of("dir"), 06755);
}

static void chmod_sets_set_gid_only_for_a_member_of_the_group(void)
{
	make("f", "");
	OK(mkdir("dir", 0755));
	OK(chown("f", ALICE_ID, TEAM));
	OK(chown("dir", ALICE_ID, TEAM));
	AS(ALICE) {
		OK(chmod("f", 06755));
		SAME(mode_of("f"), 04755);
		OK(chmod("dir", 02755));
		SAME(mode_of("dir"), 0755);
	}
	AS(ALICE, .groups = { TEAM }, .group_count = 1) {
		OK(chmod("f", 06755));
		SAME(mode_of("f"), 06755);
		OK(chmod("dir", 02755));
		SAME(mode_of("dir"), 02755);
	}
}

static const char caps[20] = "\x01\x00\x00\x02\x00\x04";	/* cap_net_bind_service=ep */

static void capabilities_go_with_every_change_whoever_makes_it(void)
{
	char got[64];

	for (size_t i = 0; i < COUNT(ways); i++) {
		prepare(0666);
		OK(setxattr("f", "security.capability", caps, sizeof caps, 0));
		SAME(getxattr("f", "security.capability", got, sizeof got), sizeof caps);
		OK(setxattr("f", "user.stays", "1", 1, 0));
		AS(ALICE) ways[i].change((int)OK(open("f", O_RDWR)));
		FAILS(ENODATA, getxattr("f", "security.capability", got, sizeof got));
		SAME(getxattr("f", "user.stays", got, sizeof got), 1);
		SAME(listxattr("f", got, sizeof got), sizeof "user.stays");
	}
	OK(setxattr("f", "security.capability", caps, sizeof caps, 0));
	OK(write((int)OK(open("f", O_RDWR)), "x", 1));
	FAILS(ENODATA, getxattr("f", "security.capability", got, sizeof got));
	OK(setxattr("f", "security.capability", caps, sizeof caps, 0));
	OK(chown("f", ALICE_ID, ALICE_ID));
	FAILS(ENODATA, getxattr("f", "security.capability", got, sizeof got));
}

static void capabilities_stay_with_what_does_not_change_the_content(void)
{
	char got[64];

	prepare(0755);
	OK(setxattr("f", "security.capability", caps, sizeof caps, 0));
	OK(chmod("f", 0700));
	OK(rename("f", "g"));
	OK(link("g", "f"));
	OK(close((int)OK(open("f", O_RDWR))));
	OK(utimensat(AT_FDCWD, "f", NULL, 0));
	SAME(getxattr("f", "security.capability", got, sizeof got), sizeof caps);
	BYTES(got, caps, sizeof caps);
	OK(removexattr("f", "security.capability"));
	AS(ALICE) FAILS(EPERM, setxattr("f", "security.capability", caps, sizeof caps, 0));
}

const struct test setid_tests[] = {
	ROOT(set_id_bits_go_when_another_user_changes_the_content_in_any_way),
	ROOT(the_owner_loses_them_too),
	ROOT(they_stay_when_root_changes_the_content),
	ROOT(they_stay_when_nothing_changes),
	ROOT(set_gid_without_group_execution_is_no_privilege_of_the_files),
	ROOT(chown_takes_them_from_files_and_leaves_directories),
	ROOT(chmod_sets_set_gid_only_for_a_member_of_the_group),
	ROOT(capabilities_go_with_every_change_whoever_makes_it),
	ROOT(capabilities_stay_with_what_does_not_change_the_content),
	{ 0 }
};
