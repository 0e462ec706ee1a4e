/* permissions: what other users may do, and what not; sticky and setgid directories. */
#include "posix.h"

#include <dirent.h>

/* As ${u}: what opening ${path} to read, to write and to search or run it gives: "rwx" or "-". */
static void allowed(const char *path, const char *rights)
{
	static const int modes[] = { R_OK, W_OK, X_OK };

	for (int i = 0; i < 3; i++) {
		errno = 0;
		SAME(access(path, modes[i]), rights[i] == '-' ? -1 : 0);
		if (rights[i] == '-')
			SAME(errno, EACCES);
	}
}

static void owner_group_and_others_get_what_the_mode_gives_each(void)
{
	make("f", "");
	OK(chown("f", ALICE_ID, TEAM));
	OK(chmod("f", 0421));
	AS(ALICE) allowed("f", "r--");
	AS(BOB) allowed("f", "--x");
	AS(BOB, .groups = { TEAM }, .group_count = 1) allowed("f", "-w-");
	AS(.uid = BOB_ID, .gid = TEAM) allowed("f", "-w-");
	OK(chmod("f", 0077));
	AS(ALICE) allowed("f", "---");
	AS(ALICE, .groups = { TEAM }, .group_count = 1) allowed("f", "---");
	AS(BOB) allowed("f", "rwx");
	OK(chmod("f", 0707));
	AS(BOB, .groups = { 1, 2, TEAM }, .group_count = 3) allowed("f", "---");
	OK(chmod("f", 0));
	allowed("f", "rw-");
}

static void what_the_mode_forbids_is_EACCES(void)
{
	make("secret", "x");
	OK(chmod("secret", 0600));
	make("open", "x");
	OK(mkdir("closed", 0700));
	make("closed/x", "");
	OK(mkdir("listed", 0744));
	make("listed/x", "");
	AS(ALICE) {
		content("open", "x");
		FAILS(EACCES, open("secret", O_RDONLY));
		FAILS(EACCES, open("open", O_RDWR));
		FAILS(EACCES, open("open", O_RDONLY | O_TRUNC));
		FAILS(EACCES, open("new", O_CREAT | O_WRONLY, 0644));
		FAILS(EACCES, mkdir("new", 0755));
		FAILS(EACCES, mkfifo("new", 0644));
		FAILS(EACCES, symlink("x", "new"));
		FAILS(EACCES, rename("open", "new"));
		FAILS(EACCES, unlink("open"));
		FAILS(EACCES, rmdir("listed"));
		FAILS(EACCES, truncate("open", 0));
		FAILS(EACCES, access("closed/x", F_OK));
		FAILS(EACCES, open("closed", O_RDONLY));
		FAILS(EACCES, chdir("closed"));
		FAILS(EACCES, access("listed/x", F_OK));
		struct dirent *e;
		DIR *d = opendir("listed");
		int n = 0;

		while ((e = readdir(d)))
			n++;
		SAME(n, 3);
	}
	content("open", "x");
}

static void what_only_the_owner_may_do_is_EPERM(void)
{
	make("f", "x");
	OK(chmod("f", 0666));
	OK(mkdir("dir", 0777));
	OK(chmod("dir", 0777));
	AS(ALICE) {
		FAILS(EPERM, open("f", O_RDONLY | O_NOATIME));
		FAILS(EPERM, chmod("f", 0600));
		FAILS(EPERM, chmod("dir", 0700));
		FAILS(EPERM, chown("f", ALICE_ID, (gid_t)-1));
		FAILS(EPERM, chown("f", (uid_t)-1, ALICE_ID));
		FAILS(EPERM, chown("dir", ALICE_ID, ALICE_ID));
	}
	SAME(mode_of("f"), 0666);
	SAME(look("f").st_uid, 0);
}

static void an_owner_gives_a_file_to_the_groups_he_is_in_and_to_no_other_user(void)
{
	make("f", "");
	OK(chown("f", ALICE_ID, ALICE_ID));
	AS(ALICE, .groups = { TEAM }, .group_count = 1) {
		OK(chown("f", (uid_t)-1, TEAM));
		SAME(look("f").st_gid, TEAM);
		OK(chown("f", ALICE_ID, ALICE_ID));
		FAILS(EPERM, chown("f", (uid_t)-1, 4));
		FAILS(EPERM, chown("f", BOB_ID, (gid_t)-1));
		FAILS(EPERM, chown("f", BOB_ID, TEAM));
		OK(chown("f", (uid_t)-1, (gid_t)-1));
		OK(chown("f", ALICE_ID, (gid_t)-1));
	}
	SAME(look("f").st_uid, ALICE_ID);
}

static void an_open_file_stays_open_whatever_becomes_of_its_mode(void)
{
	OK(chmod(".", 0777));
	AS(ALICE) {
		char got[8];
		int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0));

		SAME(mode_of("f"), 0);
		SAME(write(fd, "x", 1), 1);
		SAME(pread(fd, got, 8, 0), 1);
		OK(fsync(fd));
		FAILS(EACCES, open("f", O_RDONLY));
		OK(fchmod(fd, 0400));
		SAME(write(fd, "y", 1), 1);
		OK(ftruncate(fd, 1));
		FAILS(EACCES, open("f", O_WRONLY));
		OK(close(fd));
		content("f", "x");
	}
	content("f", "x");
}

static void in_a_sticky_directory_only_owners_remove_and_rename(void)
{
	OK(mkdir("tmp", 0777));
	OK(chmod("tmp", 01777));
	AS(ALICE) {
		make("tmp/hers", "");
		OK(mkdir("tmp/herdir", 0777));
		OK(chmod("tmp/hers", 0666));
	}
	AS(BOB) {
		make("tmp/his", "");
		FAILS(EPERM, unlink("tmp/hers"));
		FAILS(EPERM, rmdir("tmp/herdir"));
		FAILS(EPERM, rename("tmp/hers", "tmp/x"));
		FAILS(EPERM, rename("tmp/herdir", "tmp/x"));
		FAILS(EPERM, rename("tmp/his", "tmp/hers"));
		FAILS(EPERM, renameat2(AT_FDCWD, "tmp/his", AT_FDCWD, "tmp/hers", RENAME_EXCHANGE));
		OK(rename("tmp/his", "tmp/his2"));
		OK(unlink("tmp/his2"));
	}
	AS(ALICE) {
		OK(unlink("tmp/hers"));
		OK(rmdir("tmp/herdir"));
		make("tmp/f", "");
	}
	OK(unlink("tmp/f"));
	OK(chown("tmp", BOB_ID, BOB_ID));
	make("tmp/roots", "");
	AS(BOB) OK(unlink("tmp/roots"));
}

static void only_root_and_owners_of_a_directory_keep_the_sticky_bit_of_files(void)
{
	OK(mkdir("dir", 0777));
	make("f", "");
	OK(chown("f", ALICE_ID, ALICE_ID));
	OK(chown("dir", ALICE_ID, ALICE_ID));
	AS(ALICE) {
		OK(chmod("dir", 01755));
		SAME(mode_of("dir"), 01755);
		OK(chmod("f", 01644));
		SAME(mode_of("f"), 01644);
	}
}

static void what_is_made_belongs_to_its_maker(void)
{
	OK(chmod(".", 0777));
	AS(.uid = ALICE_ID, .gid = TEAM) {
		make("f", "");
		OK(mkdir("d", 0755));
		OK(symlink("x", "s"));
		OK(mkfifo("p", 0644));
	}
	for (const char *const *p = (const char *const[]){ "f", "d", "s", "p", NULL }; *p; p++) {
		SAME(look(*p).st_uid, ALICE_ID);
		SAME(look(*p).st_gid, TEAM);
	}
}

static void a_setgid_directory_hands_its_group_down_and_its_bit_to_directories(void)
{
	OK(mkdir("dir", 0777));
	OK(chown("dir", (uid_t)-1, TEAM));
	OK(chmod("dir", 02777));
	AS(ALICE) {
		make("dir/f", "");
		OK(mkdir("dir/d", 0755));
		OK(symlink("x", "dir/s"));
		OK(mkfifo("dir/p", 0644));
		OK(mknod("dir/k", S_IFSOCK | 0644, 0));
	}
	for (const char *const *p = (const char *const[]){ "f", "d", "s", "p", "k", NULL }; *p; p++) {
		char path[16];

		snprintf(path, sizeof path, "dir/%s", *p);
		SAME(look(path).st_uid, ALICE_ID);
		SAME(look(path).st_gid, TEAM);
	}
	SAME(mode_of("dir/d"), 02755);
	SAME(mode_of("dir/f"), 0644);
	SAME(mode_of("dir/p"), 0644);
	OK(chmod("dir", 0777));
	AS(ALICE) make("dir/g", "");
	SAME(look("dir/g").st_gid, ALICE_ID);
}

static void a_setgid_file_is_made_only_by_a_member_of_the_group(void)
{
	OK(mkdir("dir", 0777));
	OK(chown("dir", (uid_t)-1, TEAM));
	OK(chmod("dir", 02777));
	umask(0);
	AS(ALICE) {
		OK(close((int)OK(open("dir/f", O_CREAT | O_WRONLY, 02755))));
		OK(mknod("dir/n", S_IFREG | 02755, 0));
		OK(close((int)OK(open("dir/nox", O_CREAT | O_WRONLY, 02644))));
	}
	SAME(mode_of("dir/f"), 0755);
	SAME(mode_of("dir/n"), 0755);
	SAME(mode_of("dir/nox"), 02644);
	AS(ALICE, .groups = { TEAM }, .group_count = 1)
		OK(close((int)OK(open("dir/member", O_CREAT | O_WRONLY, 02755))));
	SAME(mode_of("dir/member"), 02755);
	OK(close((int)OK(open("dir/root", O_CREAT | O_WRONLY, 02755))));
	SAME(mode_of("dir/root"), 02755);
}

static void a_script_runs_where_the_mode_says_so(void)
{
	make("run", "#!/bin/sh\nexit 0\n");
	OK(chmod("run", 0711));
	OK(chmod(".", 0755));
	IN_CHILD {
		execl("./run", "run", NULL);
		SAME(errno, 0);
	}
	OK(chmod("run", 0644));
	IN_CHILD FAILS(EACCES, execl("./run", "run", NULL));
	OK(mkdir("dir", 0755));
	IN_CHILD FAILS(EACCES, execl("./dir", "dir", NULL));
}

const struct test permissions_tests[] = {
	ROOT(owner_group_and_others_get_what_the_mode_gives_each),
	ROOT(what_the_mode_forbids_is_EACCES),
	ROOT(what_only_the_owner_may_do_is_EPERM),
	ROOT(an_owner_gives_a_file_to_the_groups_he_is_in_and_to_no_other_user),
	ROOT(an_open_file_stays_open_whatever_becomes_of_its_mode),
	ROOT(in_a_sticky_directory_only_owners_remove_and_rename),
	ROOT(only_root_and_owners_of_a_directory_keep_the_sticky_bit_of_files),
	ROOT(what_is_made_belongs_to_its_maker),
	ROOT(a_setgid_directory_hands_its_group_down_and_its_bit_to_directories),
	ROOT(a_setgid_file_is_made_only_by_a_member_of_the_group),
	ROOT(a_script_runs_where_the_mode_says_so),
	{ 0 }
};
