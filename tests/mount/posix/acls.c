/* acls: POSIX ACLs, in the form in which Linux keeps them. */
#include "posix.h"

#include <sys/xattr.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32, NO_ID = -1 };

struct entry {
	uint16_t tag, perm;
	uint32_t id;
};

struct acl {
	uint32_t version;
	struct entry e[16];
};

#define ENTRIES(...) ((const struct entry[]){ __VA_ARGS__ }), COUNT(((const struct entry[]){ __VA_ARGS__ }))

static int set_acl(const char *path, const char *name, const struct entry *e, size_t n)
{
	struct acl acl = { .version = 2 };

	memcpy(acl.e, e, n * sizeof *e);
	return setxattr(path, name, &acl, 4 + n * sizeof *e, 0);
}

/* The ACL has just these entries. */
static void has_acl(const char *path, const char *name, const struct entry *e, size_t n)
{
	struct acl acl;

	SAME(getxattr(path, name, &acl, sizeof acl), 4 + n * sizeof *e);
	SAME(acl.version, 2);
	for (size_t i = 0; i < n; i++) {
		SAME(acl.e[i].tag, e[i].tag);
		SAME(acl.e[i].perm, e[i].perm);
		SAME(acl.e[i].id, e[i].id);
	}
}

static void has_none(const char *path, const char *name)
{
	struct acl acl;

	FAILS(ENODATA, getxattr(path, name, &acl, sizeof acl));
}

static void an_acl_sets_the_mode_and_chmod_its_mask(void)
{
	make("f", "");
	OK(chmod("f", 0600));
	OK(set_acl("f", ACCESS, ENTRIES({ USER_OBJ, 6, NO_ID }, { USER, 4, ALICE_ID }, { GROUP_OBJ, 0, NO_ID },
	    { GROUP, 6, TEAM }, { MASK, 6, NO_ID }, { OTHER, 0, NO_ID })));
	SAME(mode_of("f"), 0660);
	OK(chmod("f", 0741));
	has_acl("f", ACCESS, ENTRIES({ USER_OBJ, 7, NO_ID }, { USER, 4, ALICE_ID }, { GROUP_OBJ, 0, NO_ID },
	    { GROUP, 6, TEAM }, { MASK, 4, NO_ID }, { OTHER, 1, NO_ID }));
	OK(removexattr("f", ACCESS));
	SAME(mode_of("f"), 0741);
	has_none("f", ACCESS);
}

static void an_acl_is_enforced(void)
{
	make("f", "x");
	OK(chmod("f", 0600));
	OK(set_acl("f", ACCESS, ENTRIES({ USER_OBJ, 6, NO_ID }, { USER, 4, ALICE_ID }, { GROUP_OBJ, 0, NO_ID },
	    { GROUP, 6, TEAM }, { MASK, 6, NO_ID }, { OTHER, 0, NO_ID })));
	AS(ALICE) {
		content("f", "x");
		FAILS(EACCES, open("f", O_WRONLY));
	}
	AS(BOB) FAILS(EACCES, open("f", O_RDONLY));
	AS(BOB, .groups = { TEAM }, .group_count = 1) OK(open("f", O_RDWR));
	AS(.uid = BOB_ID, .gid = TEAM) OK(open("f", O_RDWR));
	OK(chmod("f", 0640));
	AS(BOB, .groups = { TEAM }, .group_count = 1) FAILS(EACCES, open("f", O_RDWR));
	OK(chmod("f", 0600));
	AS(ALICE) FAILS(EACCES, open("f", O_RDONLY));
	OK(set_acl("f", ACCESS, ENTRIES({ USER_OBJ, 6, NO_ID }, { USER, 0, ALICE_ID }, { GROUP_OBJ, 4, NO_ID },
	    { MASK, 4, NO_ID }, { OTHER, 4, NO_ID })));
	AS(ALICE) FAILS(EACCES, open("f", O_RDONLY));
	AS(BOB) content("f", "x");
}

static void an_acl_that_says_no_more_than_the_mode_is_the_mode(void)
{
	make("f", "");
	OK(set_acl("f", ACCESS, ENTRIES({ USER_OBJ, 6, NO_ID }, { GROUP_OBJ, 4, NO_ID }, { OTHER, 0, NO_ID })));
	SAME(mode_of("f"), 0640);
	has_none("f", ACCESS);
	SAME(listxattr("f", NULL, 0), 0);
	OK(chmod("f", 06755));
	OK(set_acl("f", ACCESS, ENTRIES({ USER_OBJ, 6, NO_ID }, { GROUP_OBJ, 5, NO_ID }, { OTHER, 1, NO_ID })));
	SAME(mode_of("f"), 06651);
}

static void a_default_acl_is_inherited_and_stands_for_the_umask(void)
{
	static const struct entry all[] = { { USER_OBJ, 7, NO_ID }, { USER, 7, ALICE_ID }, { GROUP_OBJ, 5, NO_ID },
	    { MASK, 7, NO_ID }, { OTHER, 0, NO_ID } };

	OK(mkdir("dir", 0755));
	OK(set_acl("dir", DEFAULT, all, COUNT(all)));
	SAME(mode_of("dir"), 0755);
	has_none("dir", ACCESS);
	umask(077);
	OK(mkdir("dir/sub", 0777));
	OK(close((int)OK(open("dir/f", O_CREAT | O_WRONLY, 0666))));
	OK(close((int)OK(open("dir/x", O_CREAT | O_WRONLY, 0700))));
	OK(mknod("dir/fifo", S_IFIFO | 0666, 0));
	OK(symlink("x", "dir/link"));
	has_acl("dir/sub", DEFAULT, all, COUNT(all));
	has_acl("dir/sub", ACCESS, all, COUNT(all));
	has_acl("dir/f", ACCESS, ENTRIES({ USER_OBJ, 6, NO_ID }, { USER, 7, ALICE_ID }, { GROUP_OBJ, 5, NO_ID },
	    { MASK, 6, NO_ID }, { OTHER, 0, NO_ID }));
	has_none("dir/f", DEFAULT);
	has_acl("dir/fifo", ACCESS, ENTRIES({ USER_OBJ, 6, NO_ID }, { USER, 7, ALICE_ID },
	    { GROUP_OBJ, 5, NO_ID }, { MASK, 6, NO_ID }, { OTHER, 0, NO_ID }));
	SAME(mode_of("dir/sub"), 0770);
	SAME(mode_of("dir/f"), 0660);
	SAME(mode_of("dir/x"), 0700);
	SAME(mode_of("dir/link"), 0777);
	AS(ALICE) {
		OK(open("dir/f", O_RDWR));
		FAILS(EACCES, open("dir/x", O_RDONLY));
		OK(close((int)OK(open("dir/sub/hers", O_CREAT | O_WRONLY, 0666))));
	}
	OK(removexattr("dir", DEFAULT));
	has_none("dir", DEFAULT);
	OK(mkdir("dir/plain", 0777));
	SAME(mode_of("dir/plain"), 0700);
	has_none("dir/plain", ACCESS);
}

static void a_default_acl_without_users_sets_the_mode_alone(void)
{
	OK(mkdir("dir", 0755));
	OK(set_acl("dir", DEFAULT, ENTRIES({ USER_OBJ, 7, NO_ID }, { GROUP_OBJ, 7, NO_ID }, { OTHER, 5, NO_ID })));
	umask(077);
	OK(close((int)OK(open("dir/f", O_CREAT | O_WRONLY, 0666))));
	SAME(mode_of("dir/f"), 0664);
	has_none("dir/f", ACCESS);
	OK(mkdir("dir/sub", 0777));
	SAME(mode_of("dir/sub"), 0775);
	has_acl("dir/sub", DEFAULT, ENTRIES({ USER_OBJ, 7, NO_ID }, { GROUP_OBJ, 7, NO_ID }, { OTHER, 5, NO_ID }));
}

static void a_default_acl_and_a_setgid_directory_go_together(void)
{
	OK(mkdir("dir", 0777));
	OK(chown("dir", (uid_t)-1, TEAM));
	OK(chmod("dir", 02777));
	OK(set_acl("dir", DEFAULT, ENTRIES({ USER_OBJ, 7, NO_ID }, { USER, 6, BOB_ID }, { GROUP_OBJ, 7, NO_ID },
	    { MASK, 7, NO_ID }, { OTHER, 0, NO_ID })));
	AS(ALICE) {
		OK(mkdir("dir/sub", 0777));
		OK(close((int)OK(open("dir/f", O_CREAT | O_WRONLY, 02777))));
	}
	SAME(mode_of("dir/sub"), 02770);
	SAME(mode_of("dir/f"), 0770);
	SAME(look("dir/f").st_gid, TEAM);
}

static void acls_are_for_owners_of_what_is_no_symlink(void)
{
	static const struct entry plain[] = { { USER_OBJ, 7, NO_ID }, { USER, 7, BOB_ID }, { GROUP_OBJ, 5, NO_ID },
	    { MASK, 7, NO_ID }, { OTHER, 0, NO_ID } };
	struct acl acl = { .version = 2 };

	make("f", "");
	OK(symlink("f", "link"));
	FAILS(EACCES, set_acl("f", DEFAULT, plain, COUNT(plain)));
	memcpy(acl.e, plain, sizeof plain);
	FAILS(EOPNOTSUPP, lsetxattr("link", ACCESS, &acl, 4 + sizeof plain, 0));
	FAILS(EOPNOTSUPP, lgetxattr("link", ACCESS, &acl, sizeof acl));
	AS(ALICE) {
		FAILS(EPERM, set_acl("f", ACCESS, plain, COUNT(plain)));
		FAILS(EPERM, removexattr("f", ACCESS));
	}
	OK(chown("f", ALICE_ID, ALICE_ID));
	AS(ALICE) OK(set_acl("f", ACCESS, plain, COUNT(plain)));
	AS(BOB) OK(open("f", O_RDWR));
	OK(removexattr("f", ACCESS));
	OK(removexattr("f", ACCESS));
	FAILS(ENODATA, getxattr("f", ACCESS, &acl, sizeof acl));
}

static void what_is_no_acl_is_refused(void)
{
	static const struct entry good[] = { { USER_OBJ, 6, NO_ID }, { GROUP_OBJ, 4, NO_ID }, { OTHER, 4, NO_ID } };
	struct acl acl = { .version = 2 };

	make("f", "");
	memcpy(acl.e, good, sizeof good);
	OK(setxattr("f", ACCESS, &acl, 4 + sizeof good, 0));
	FAILS(EINVAL, setxattr("f", ACCESS, &acl, 3, 0));
	FAILS(EINVAL, setxattr("f", ACCESS, &acl, 4 + sizeof good - 1, 0));
	FAILS(EINVAL, setxattr("f", ACCESS, &acl, 4 + 2 * sizeof *good, 0));
	acl.version = 1;
	FAILS(EOPNOTSUPP, setxattr("f", ACCESS, &acl, 4 + sizeof good, 0));
	FAILS(EINVAL, set_acl("f", ACCESS, ENTRIES({ USER_OBJ, 6, NO_ID }, { OTHER, 4, NO_ID },
	    { GROUP_OBJ, 4, NO_ID })));
	FAILS(EINVAL, set_acl("f", ACCESS, ENTRIES({ USER_OBJ, 6, NO_ID }, { GROUP_OBJ, 8, NO_ID },
	    { OTHER, 4, NO_ID })));
	FAILS(EINVAL, set_acl("f", ACCESS, ENTRIES({ USER_OBJ, 6, NO_ID }, { USER, 4, 5 }, { GROUP_OBJ, 4, NO_ID },
	    { OTHER, 4, NO_ID })));
	FAILS(EINVAL, set_acl("f", ACCESS, ENTRIES({ USER_OBJ, 6, NO_ID }, { 64, 4, 5 }, { GROUP_OBJ, 4, NO_ID },
	    { OTHER, 4, NO_ID })));
	SAME(mode_of("f"), 0644);
}

static void an_acl_set_by_one_outside_the_group_takes_the_set_gid_bit(void)
{
	static const struct entry e[] = { { USER_OBJ, 7, NO_ID }, { USER, 4, BOB_ID }, { GROUP_OBJ, 5, NO_ID },
	    { MASK, 5, NO_ID }, { OTHER, 5, NO_ID } };

	make("f", "");
	OK(chown("f", ALICE_ID, TEAM));
	OK(chmod("f", 02755));
	AS(ALICE) OK(set_acl("f", ACCESS, e, COUNT(e)));
	SAME(mode_of("f"), 0755);
	OK(chmod("f", 02755));
	AS(ALICE, .groups = { TEAM }, .group_count = 1) OK(set_acl("f", ACCESS, e, COUNT(e)));
	SAME(mode_of("f"), 02755);
}

static void an_acl_moves_the_ctime_alone(void)
{
	static const struct entry e[] = { { USER_OBJ, 6, NO_ID }, { USER, 4, BOB_ID }, { GROUP_OBJ, 4, NO_ID },
	    { MASK, 4, NO_ID }, { OTHER, 4, NO_ID } };

	make("f", "");
	age("f");
	MOVES("f", "c", OK(set_acl("f", ACCESS, e, COUNT(e))));
	MOVES("f", "c", OK(removexattr("f", ACCESS)));
}

static void an_acl_follows_its_file(void)
{
	static const struct entry e[] = { { USER_OBJ, 6, NO_ID }, { USER, 4, ALICE_ID }, { GROUP_OBJ, 4, NO_ID },
	    { MASK, 4, NO_ID }, { OTHER, 0, NO_ID } };

	make("f", "x");
	OK(set_acl("f", ACCESS, e, COUNT(e)));
	OK(rename("f", "g"));
	OK(link("g", "h"));
	has_acl("h", ACCESS, e, COUNT(e));
	OK(chown("h", BOB_ID, BOB_ID));
	has_acl("g", ACCESS, e, COUNT(e));
	AS(ALICE) content("h", "x");
}

const struct test acls_tests[] = {
	ROOT(an_acl_sets_the_mode_and_chmod_its_mask),
	ROOT(an_acl_is_enforced),
	T(an_acl_that_says_no_more_than_the_mode_is_the_mode),
	ROOT(a_default_acl_is_inherited_and_stands_for_the_umask),
	T(a_default_acl_without_users_sets_the_mode_alone),
	ROOT(a_default_acl_and_a_setgid_directory_go_together),
	ROOT(acls_are_for_owners_of_what_is_no_symlink),
	T(what_is_no_acl_is_refused),
	ROOT(an_acl_set_by_one_outside_the_group_takes_the_set_gid_bit),
	T(an_acl_moves_the_ctime_alone),
	ROOT(an_acl_follows_its_file),
	{ 0 }
};
