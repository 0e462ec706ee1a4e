/* options: what the command line says, and the files of settings below it. */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "dht/peer/settings.h"
#include "fs/keep.h"

enum by_hash {
	BY_HASH_LIST,	/* shown in the root, lists what this node holds */
	BY_HASH_NOLIST,	/* shown in the root, lists nothing */
	BY_HASH_HIDDEN,	/* not shown; a full address works all the same */
};

#define OPTIONS_DIRTY_MIN (4ull << 20)	/* bytes: room for some of the kernel's largest writes */
#define OPTIONS_CACHE_MIN (4ull << 20)	/* bytes: read-ahead needs a place */

/* All strings are the options' own. */
struct options {
	char *mountpoint;	/* absolute */
	char *store;		/* absolute */
	bool store_default;	/* nobody named it: the folders above it may be made */
	char *config;		/* the file of settings that was named; NULL: the usual two */
	char *config_store;	/* options_parse()'s own */
	char *fsname;		/* what the table of mounts calls the source */
	bool foreground, debug;
	bool read_only;
	bool remount;		/* only change the flags of the mount that is there */
	unsigned long flags, flags_named;	/* MS_*: those that are on, of those that were named */
	bool nonempty;
	bool allow_other;
	unsigned int by_hash_mode;	/* permissions of by-hash, default 0500 */
	enum by_hash by_hash;
	uint64_t size_max;	/* bytes; 0: the disk's */
	uint64_t dirty_max;	/* bytes of changes in memory, default 256 MiB */
	uint64_t cache_max;	/* bytes of the decoded-chunk cache, default 32 MiB */
	struct keep_rule keep;	/* which snapshots stay, default KEEP_DEFAULT */
	struct settings settings;	/* of its node */
	char **fuse_args;	/* argv for libfuse's session, NULL-terminated */
	int fuse_argc;
};

/**
 * options_parse(argc, argv, out): dhtfs [options] [STORE] MOUNTPOINT; options may stand anywhere.
 * 0: go on; 1: -h or -V were asked for and answered (exit 0); -1: wrong, a message that
 * says what to do has been printed (exit 2).  ${out} is to be freed in every case.
 *
 * STORE is what mount(8) hands on as the source: "none", "dhtfs" and "" stand for the default.
 * The same option twice: the last one counts, as everywhere with mount(8).
 */
int options_parse(int argc, char **argv, struct options *out);
void options_free(struct options *o);

#endif
