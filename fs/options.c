#include "fs/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "dht/program/config.h"
#include "dht/program/home.h"
#include "dht/program/size.h"

static const char usage[] =
    "usage: dhtfs [options] [STORE] MOUNTPOINT\n"
    "\n"
    "Mount a directory whose files are kept in a content-addressed set.\n"
    "\n"
    "  --store DIR        where the set is kept (default: $XDG_DATA_HOME/dhtfs or\n"
    "                     ~/.local/share/dhtfs)\n"
    "  --size-max SIZE    bytes that the store may take (default: the disk's)\n"
    "  --dirty-max SIZE   bytes of changes kept in memory (default: 256M)\n"
    "  --cache SIZE       bytes of the cache of chunks in memory (default: 32M)\n"
    "  --keep RULE        which snapshots stay (default: all:1h,hour:1d,day:30d, that is all\n"
    "                     of the last hour, one an hour for a day, one a day for 30 days;\n"
    "                     all: for ever; none: only the newest)\n"
    "  --config FILE      read settings there, not in /etc/dhtfs.conf and ~/.config/dhtfs/config\n"
    "  -f                 stay in the foreground, log to stderr\n"
    "  -d                 debug: the same, and log every request\n"
    "  -o OPTION[,...]    mount options:\n"
    "      ro, rw, nosuid, nodev, noexec, ...   as in mount(8)\n"
    "      allow_other, allow_root              let other users, or root, in\n"
    "      remount                              change ro, nosuid, ... of the mount that is there\n"
    "      nonempty                             hide what is in MOUNTPOINT\n"
    "      fsname=NAME, subtype=NAME            names in the table of mounts\n"
    "      by_hash=list|nolist|hidden           is by-hash shown, and does it list\n"
    "      by_hash_mode=OCTAL                   permissions of by-hash (default: 500)\n"
    "      store=DIR, size_max=SIZE, ...        the other options, '_' for '-' in their names\n"
    "  -h, --help         this text\n"
    "  -V, --version      the version\n"
    "\n"
    "Of a ring of many nodes:\n"
    "\n";

static const char usage_end[] =
    "\n"
    "SIZE is a number of bytes, or has one of the letters K, M, G, T, P, E behind it.\n"
    "To unmount: fusermount3 -u MOUNTPOINT.  dhtctl(1) asks and commands a mount.\n";

enum use {
	SETTING,	/* ours */
	NODE,		/* our node's: settings.h */
	KERNEL,		/* for libfuse, fusermount3 and the kernel */
	IGNORED,	/* for mount(8) and what starts it; or without an effect here */
};

/* A name that ends in '=' has a value; one that ends in '*' begins so. */
static const struct mount_option {
	const char *name;
	enum use use;
} mount_options[] = {
	{ "ro", SETTING }, { "rw", SETTING }, { "nonempty", SETTING },
	{ "allow_other", SETTING }, { "allow_root", SETTING }, { "by_hash=", SETTING },
	{ "by_hash_mode=", SETTING }, { "store=", SETTING }, { "size_max=", SETTING },
	{ "dirty_max=", SETTING }, { "cache=", SETTING }, { "keep=", SETTING },
	{ "debug", SETTING }, { "fsname=", SETTING }, { "remount", SETTING }, { "config=", SETTING },

	{ "listen=", NODE }, { "join=", NODE }, { "advertise=", NODE }, { "ring=", NODE },
	{ "ring_old=", NODE }, { "zone=", NODE }, { "weight=", NODE }, { "no_store", NODE },
	{ "sync=", NODE }, { "timeout=", NODE }, { "volume_max=", NODE }, { "metrics=", NODE },
	{ "volume=", NODE }, { "follow=", NODE }, { "wait", NODE },

	{ "suid", KERNEL }, { "nosuid", KERNEL }, { "dev", KERNEL }, { "nodev", KERNEL },
	{ "exec", KERNEL }, { "noexec", KERNEL }, { "sync", KERNEL }, { "async", KERNEL },
	{ "dirsync", KERNEL }, { "atime", KERNEL }, { "noatime", KERNEL },
	{ "subtype=", KERNEL }, { "auto_unmount", KERNEL },
	{ "context=", KERNEL }, { "fscontext=", KERNEL }, { "defcontext=", KERNEL },
	{ "rootcontext=", KERNEL },

	/* Always on. */
	{ "default_permissions", IGNORED },
	/* There is no atime to keep on reads. */
	{ "relatime", IGNORED }, { "norelatime", IGNORED }, { "strictatime", IGNORED },
	{ "nostrictatime", IGNORED }, { "lazytime", IGNORED }, { "nolazytime", IGNORED },
	{ "diratime", IGNORED }, { "nodiratime", IGNORED },

	{ "defaults", IGNORED }, { "auto", IGNORED }, { "noauto", IGNORED }, { "nofail", IGNORED },
	{ "_netdev", IGNORED }, { "user", IGNORED }, { "user=", IGNORED }, { "nouser", IGNORED },
	{ "users", IGNORED }, { "nousers", IGNORED }, { "owner", IGNORED }, { "noowner", IGNORED },
	{ "group", IGNORED }, { "nogroup", IGNORED }, { "comment=", IGNORED },
	{ "x-*", IGNORED }, { "X-*", IGNORED },
	/* What the table of mounts shows, and mount(8) hands on again to remount. */
	{ "user_id=", IGNORED }, { "group_id=", IGNORED },
};

/* The flags that a mount can change its mind about. */
static const struct flag_option {
	const char *name;
	unsigned long flag;
	bool on;
} flag_options[] = {
	{ "ro", MS_RDONLY, true }, { "rw", MS_RDONLY, false },
	{ "nosuid", MS_NOSUID, true }, { "suid", MS_NOSUID, false },
	{ "nodev", MS_NODEV, true }, { "dev", MS_NODEV, false },
	{ "noexec", MS_NOEXEC, true }, { "exec", MS_NOEXEC, false },
	{ "sync", MS_SYNCHRONOUS, true }, { "async", MS_SYNCHRONOUS, false },
	{ "noatime", MS_NOATIME, true }, { "atime", MS_NOATIME, false },
	{ "dirsync", MS_DIRSYNC, true },
};

#define OPTION_NAME_LEN 32

static int out_of_memory(void)
{
	fprintf(stderr, "dhtfs: no memory\n");
	return -1;
}

static bool option_matches(const char *name, const char *text)
{
	size_t len = strlen(name);

	if (name[len - 1] == '*')
		return strncmp(name, text, len - 1) == 0;
	if (name[len - 1] == '=')
		return strncmp(name, text, len) == 0;
	return strcmp(name, text) == 0;
}

static const struct mount_option *find_option(const char *text)
{
	for (size_t i = 0; i < sizeof(mount_options) / sizeof(*mount_options); i++) {
		if (option_matches(mount_options[i].name, text))
			return &mount_options[i];
	}
	return NULL;
}

/* Another word of the session's argv; grown to a power of two. */
static int add_fuse_arg(struct options *o, const char *word)
{
	size_t n = (size_t)o->fuse_argc;

	if ((n & (n + 1)) == 0) {
		char **grown = realloc(o->fuse_args, 2 * (n + 1) * sizeof(*grown));

		if (!grown)
			return out_of_memory();
		o->fuse_args = grown;
	}
	o->fuse_args[n] = strdup(word);
	if (!o->fuse_args[n])
		return out_of_memory();
	o->fuse_args[++o->fuse_argc] = NULL;
	return 0;
}

/* One mount option; what would end it for libfuse, which splits at commas, is escaped. */
static int add_fuse_option(struct options *o, const char *option)
{
	char *text = malloc(2 * strlen(option) + 1), *p = text;
	int r;

	if (!text)
		return out_of_memory();
	for (; *option; option++) {
		if (*option == ',' || *option == '\\')
			*p++ = '\\';
		*p++ = *option;
	}
	*p = '\0';
	r = add_fuse_arg(o, "-o") < 0 ? -1 : add_fuse_arg(o, text);
	free(text);
	return r;
}

/* What is wrong with a value, for whoever says where it stands. */
struct reason {
	char text[512];
};

static int wrong(struct reason *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int wrong(struct reason *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return -EINVAL;
}

static int set_size(const char *value, uint64_t min, uint64_t *out, struct reason *why)
{
	uint64_t bytes;

	if (size_parse(value, &bytes) < 0)
		return wrong(why, "'%s' is no size: give a number of bytes, or one like 10G", value);
	if (bytes < min)
		return wrong(why, "%s is too small: give at least %lluM", value, (unsigned long long)(min >> 20));
	*out = bytes;
	return 0;
}

static int set_keep(struct options *o, const char *value, struct reason *why)
{
	struct keep_rule rule;

	if (keep_parse(value, &rule, why->text, sizeof(why->text)) < 0)
		return -EINVAL;
	o->keep = rule;
	return 0;
}

static int set_by_hash(struct options *o, const char *value, struct reason *why)
{
	static const char *const names[] = {
		[BY_HASH_LIST] = "list",
		[BY_HASH_NOLIST] = "nolist",
		[BY_HASH_HIDDEN] = "hidden",
	};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(value, names[i]) == 0) {
			o->by_hash = (enum by_hash)i;
			return 0;
		}
	}
	return wrong(why, "'%s' is unknown: give list, nolist or hidden", value);
}

static int set_by_hash_mode(struct options *o, const char *value, struct reason *why)
{
	char *end;
	unsigned long mode = strtoul(value, &end, 8);

	if (!isdigit((unsigned char)*value) || *end || mode > 0777)
		return wrong(why, "'%s' is no mode: give three octal digits", value);
	o->by_hash_mode = (unsigned int)mode;
	return 0;
}

static int set_text(const char *value, char **out, struct reason *why)
{
	char *text;

	if (!*value)
		return wrong(why, "nothing was given");
	text = strdup(value);
	if (!text)
		return -ENOMEM;
	free(*out);
	*out = text;
	return 0;
}

/* Those that a file may say too.  -ENOENT: it is none of them. */
static int set_value(struct options *o, const char *name, const char *value, struct reason *why)
{
	if (strcmp(name, "by_hash") == 0)
		return set_by_hash(o, value, why);
	if (strcmp(name, "by_hash_mode") == 0)
		return set_by_hash_mode(o, value, why);
	if (strcmp(name, "store") == 0)
		return set_text(value, &o->store, why);
	if (strcmp(name, "keep") == 0)
		return set_keep(o, value, why);
	if (strcmp(name, "size_max") == 0)
		return set_size(value, 0, &o->size_max, why);
	if (strcmp(name, "dirty_max") == 0)
		return set_size(value, OPTIONS_DIRTY_MIN, &o->dirty_max, why);
	if (strcmp(name, "cache") == 0)
		return set_size(value, OPTIONS_CACHE_MIN, &o->cache_max, why);
	return settings_set(&o->settings, name, value, why->text, sizeof(why->text));
}

/* value is "" for those that have none. */
static int set_option(struct options *o, const char *name, const char *value, struct reason *why)
{
	if (strcmp(name, "ro") == 0 || strcmp(name, "rw") == 0)
		o->read_only = name[1] == 'o';
	else if (strcmp(name, "nonempty") == 0)
		o->nonempty = true;
	else if (strcmp(name, "remount") == 0)
		o->remount = true;
	else if (strcmp(name, "debug") == 0)
		o->debug = true;
	else if (strcmp(name, "fsname") == 0)
		return set_text(value, &o->fsname, why);
	else if (strncmp(name, "allow_", 6) == 0) {
		o->allow_other = true;
		return add_fuse_option(o, name);
	} else if (strcmp(name, "config") != 0)		/* which take_config() has seen */
		return set_value(o, name, value, why);
	return 0;
}

/* As set_option(), with a message. */
static int set(struct options *o, const char *name, const char *value)
{
	struct reason why = { "" };
	int r = set_option(o, name, value, &why);

	if (r < 0 && why.text[0])
		fprintf(stderr, "dhtfs: %s: %s\n", name, why.text);
	else if (r == -ENOMEM)
		return out_of_memory();
	return r < 0 ? -1 : 0;
}

static void note_flag(struct options *o, const char *option)
{
	for (size_t i = 0; i < sizeof(flag_options) / sizeof(*flag_options); i++) {
		const struct flag_option *f = &flag_options[i];

		if (strcmp(f->name, option) != 0)
			continue;
		o->flags_named |= f->flag;
		o->flags = f->on ? o->flags | f->flag : o->flags & ~f->flag;
	}
}

static int take_mount_option(struct options *o, const char *option)
{
	const struct mount_option *found = find_option(option);
	const char *value = strchr(option, '=');
	char name[OPTION_NAME_LEN];

	if (!found) {
		fprintf(stderr, "dhtfs: unknown mount option '%s': see dhtfs -h\n", option);
		return -1;
	}
	note_flag(o, option);
	if (found->use == KERNEL)
		return add_fuse_option(o, option);
	if (found->use == IGNORED)
		return 0;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(option, "="), option);
	return set(o, name, value ? value + 1 : "");
}

/* Commas divide; a backslash takes the next character as it is. */
static int each_mount_option(struct options *o, const char *list,
    int (*take)(struct options *o, const char *option))
{
	char *option = malloc(strlen(list) + 1), *p = option;
	int r = 0;

	if (!option)
		return out_of_memory();
	for (; r == 0; list++) {
		if (*list && *list != ',') {
			if (*list == '\\' && list[1])
				list++;
			*p++ = *list;
			continue;
		}
		*p = '\0';
		if (p > option)
			r = take(o, option);
		p = option;
		if (!*list)
			break;
	}
	free(option);
	return r;
}

/* The words that are no options: [STORE] MOUNTPOINT. */
static int take_words(struct options *o, int count, char **words)
{
	static const char *const defaults[] = { "", "none", "dhtfs" };
	const char *source = count == 2 ? words[0] : "";
	bool named = true;

	if (count < 1 || !*words[count - 1]) {
		fprintf(stderr, "dhtfs: where to? Give a mount point: dhtfs MOUNTPOINT\n");
		return -1;
	}
	if (count > 2) {
		fprintf(stderr, "dhtfs: '%s' is one word too many: see dhtfs -h\n", words[2]);
		return -1;
	}
	for (size_t i = 0; i < sizeof(defaults) / sizeof(*defaults); i++)
		named &= strcmp(source, defaults[i]) != 0;
	if (named && o->store) {
		fprintf(stderr, "dhtfs: two stores, %s and %s: name one\n", source, o->store);
		return -1;
	}
	if (named && set(o, "store", source) < 0)
		return -1;
	/* By its source mount(8) tells whether a line of /etc/fstab is mounted already. */
	if (!o->fsname && set(o, "fsname", *source ? source : "dhtfs") < 0)
		return -1;
	o->mountpoint = strdup(words[count - 1]);
	return o->mountpoint ? 0 : out_of_memory();
}

static int make_absolute(char **path)
{
	int r = home_absolute(path);

	if (r < 0)
		fprintf(stderr, "dhtfs: the working directory: %s\n", strerror(-r));
	return r;
}

static int take_defaults(struct options *o)
{
	char why[512];

	if (!o->store) {
		o->store = o->config_store;
		o->config_store = NULL;
	}
	if (!o->store) {
		o->store_default = true;
		o->store = home_default_store();
	}
	if (!o->store) {
		fprintf(stderr, "dhtfs: no home to keep the store in: give --store DIR\n");
		return -1;
	}
	if (make_absolute(&o->store) < 0 || make_absolute(&o->mountpoint) < 0)
		return -1;
	o->foreground |= o->debug;
	o->read_only |= o->settings.follow != NULL;
	if (settings_finish(&o->settings, why, sizeof(why)) < 0) {
		fprintf(stderr, "dhtfs: %s\n", why);
		return -1;
	}
	return 0;
}

/* What libfuse is told beside the person's own options. */
static int finish_fuse_args(struct options *o)
{
	char *fsname;
	int r;

	if (asprintf(&fsname, "fsname=%s", o->fsname) < 0)
		return out_of_memory();
	r = add_fuse_option(o, fsname);
	free(fsname);
	if (r == 0 && o->read_only)
		r = add_fuse_option(o, "ro");
	if (r == 0 && o->debug)
		r = add_fuse_arg(o, "-d");
	return r;
}

#define OPTION_OURS   256	/* set_option() knows it by its name */
#define OPTION_CONFIG 257

static const char short_options[] = "fdo:hV";

static const struct option long_options[] = {
	{ "store", required_argument, NULL, OPTION_OURS },
	{ "size-max", required_argument, NULL, OPTION_OURS },
	{ "dirty-max", required_argument, NULL, OPTION_OURS },
	{ "cache", required_argument, NULL, OPTION_OURS },
	{ "keep", required_argument, NULL, OPTION_OURS },
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	SETTINGS_OPTIONS,
	{ 0 },
};

/* A long option, by the name that it has behind -o. */
static int take_long_option(struct options *o, const char *option, const char *value)
{
	char name[OPTION_NAME_LEN];

	snprintf(name, sizeof(name), "%s", option);
	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : *p;
	return set(o, name, value ? value : "");
}

/* As options_parse() for one option. */
static int take_option(struct options *o, int option, int index, const char *value)
{
	switch (option) {
	case 'f':
		o->foreground = true;
		return 0;
	case 'd':
		o->debug = true;
		return 0;
	case 'o':
		return each_mount_option(o, value, take_mount_option);
	case OPTION_OURS:
	case SETTINGS_OPTION:
		return take_long_option(o, long_options[index].name, value);
	case OPTION_CONFIG:
		return 0;
	case 'h':
		printf("%s%s%s%s", usage, settings_usage, settings_mount_usage, usage_end);
		return 1;
	case 'V':
		printf("dhtfs %s\n", DHTFS_VERSION);
		return 1;
	default:	/* getopt has named it */
		fprintf(stderr, "see dhtfs -h\n");
		return -1;
	}
}

static int note_config(struct options *o, const char *option)
{
	static const char name[] = "config=";

	if (strncmp(option, name, strlen(name)) != 0)
		return 0;
	free(o->config);
	o->config = strdup(option + strlen(name));
	return o->config ? 0 : out_of_memory();
}

/* Is another file named?  Mistakes in the rest are found later.  getopt_long() moves words about: so it gets a copy. */
static int find_config(int argc, char **argv, struct options *o)
{
	char **words = calloc((size_t)argc + 1, sizeof(*words));
	int option, r = words ? 0 : out_of_memory();

	for (int i = 0; words && i < argc; i++)
		words[i] = argv[i];
	optind = 0;
	opterr = 0;
	while (r == 0 && (option = getopt_long(argc, words, short_options, long_options, NULL)) >= 0) {
		if (option == 'o')
			r = each_mount_option(o, optarg, note_config);
		if (option != OPTION_CONFIG)
			continue;
		free(o->config);
		o->config = strdup(optarg);
		r = o->config ? 0 : out_of_memory();
	}
	opterr = 1;
	free(words);
	return r;
}

static int set_from_file(void *arg, const char *setting, const char *value, char *why, size_t why_size)
{
	struct reason reason = { "" };
	char name[OPTION_NAME_LEN];
	int r;

	snprintf(name, sizeof(name), "%s", setting);
	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : *p;
	r = set_value(arg, name, value, &reason);
	snprintf(why, why_size, "%s", reason.text);
	return r;
}

/* What the files say is under what the command line says. */
static int read_config(struct options *o)
{
	const struct config_reader reader = { .program = "dhtfs", .set = set_from_file, .arg = o };
	int r = config_read_all(&reader, o->config, settings_next_layer, &o->settings);

	if (r < 0)
		return -1;
	o->config_store = o->store;
	o->store = NULL;
	return 0;
}

static int take_command_line(int argc, char **argv, struct options *o)
{
	int option, index = 0, r = 0;

	optind = 0;
	while (r == 0 && (option = getopt_long(argc, argv, short_options, long_options, &index)) >= 0)
		r = take_option(o, option, index, optarg);
	if (r == 0)
		r = take_words(o, argc - optind, argv + optind);
	return r;
}

int options_parse(int argc, char **argv, struct options *out)
{
	struct reason why;
	int r;

	*out = (struct options){
		.by_hash_mode = 0500,
		.dirty_max = 256ull << 20,
		.cache_max = 32ull << 20,
	};
	settings_init(&out->settings);
	r = set_keep(out, KEEP_DEFAULT, &why);
	if (r == 0)
		r = add_fuse_arg(out, "dhtfs");
	if (r == 0)
		r = add_fuse_option(out, "default_permissions");
	if (r == 0)
		r = add_fuse_option(out, "subtype=dhtfs");
	if (r == 0)
		r = find_config(argc, argv, out);
	if (r == 0)
		r = read_config(out);
	if (r == 0)
		r = take_command_line(argc, argv, out);
	if (r == 0)
		r = take_defaults(out);
	if (r == 0)
		r = finish_fuse_args(out);
	return r;
}

void options_free(struct options *o)
{
	free(o->mountpoint);
	free(o->store);
	free(o->config_store);
	free(o->config);
	free(o->fsname);
	settings_free(&o->settings);
	for (int i = 0; i < o->fuse_argc; i++)
		free(o->fuse_args[i]);
	free(o->fuse_args);
	*o = (struct options){ 0 };
}
