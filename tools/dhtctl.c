/* dhtctl: asks and commands a running dhtfs or dhtd; dhtctl(1) says what each command does. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chunker/address.h"
#include "dht/control/wire.h"
#include "dht/dht.h"
#include "dht/net/ring.h"
#include "dht/program/home.h"
#include "dht/program/size.h"
#include "tools/ask.h"
#include "tools/ring.h"
#include "tools/show.h"
#include "tools/show_ring.h"
#include "tools/volume.h"

#define EXIT_USAGE 2

static const char usage[] =
    "usage: dhtctl [--store DIR] [--json] COMMAND\n"
    "\n"
    "Ask and command the dhtfs or dhtd that runs on the store DIR (default: the one that\n"
    "they use by default).\n"
    "\n"
    "  status               is the data safe, who is there, how full is it\n"
    "  put FILE|-           keep a file in the set, print its address\n"
    "  unpin ADDRESS        do not keep for its own sake what put has kept\n"
    "  pins                 list what put has kept\n"
    "  get ADDRESS          write the file with this address to stdout, verified\n"
    "  sync                 return when all that was written survives the loss of this machine's\n"
    "                       memory, and a snapshot of it is in the set\n"
    "  snapshot [NOTE]      take a snapshot of the whole tree, print its address\n"
    "  snapshots            list the kept snapshots: time, address\n"
    "  diff A B             what is different in B: + added, - removed, M changed, A only its\n"
    "                       attributes, T its type; A and B are addresses of snapshots or\n"
    "                       directories, or 'now'\n"
    "  gc [--dry-run]       remove what nothing refers to, or say how much that is\n"
    "  check [--rate SIZE]  read and verify the whole store, at most SIZE bytes a second\n"
    "  rebuild              make the store's index anew; nothing may have it mounted\n"
    "\n"
    "Of a ring of many nodes:\n"
    "  ring create FILE [--replicas R] [--acks W] [--open]\n"
    "                       make a ring: FILE for each of its nodes, FILE.admin to keep\n"
    "  ring rotate FILE     give it a new secret\n"
    "  ring                 draw it: who has which part, who is down, what moves\n"
    "  peers                list its members\n"
    "  where ADDRESS        who is to have this chunk, and who has it now\n"
    "  paths ADDRESS        which files and directories of the mount it belongs to\n"
    "  repair               look now for what lacks copies, until that is done\n"
    "  drain, undrain       take this node out of the ring's placement, or back in\n"
    "  leave                hand over all that this node has, and leave for ever\n"
    "  evict NODE --admin FILE\n"
    "                       have a node that is lost out of the ring for ever\n"
    "  volume               print the public key of the mount's volume, and how safe it is\n"
    "  volume export FILE [--yes]\n"
    "                       write its key into a new file, with which it can be restored\n"
    "  wait                 wait until the loss of this machine would lose nothing\n"
    "  retire VOLUME --key FILE\n"
    "                       end a volume for ever: what only it keeps is deleted everywhere\n"
    "  maintenance TIME [NODE]\n"
    "                       make no spare copies for a while, say 2h\n"
    "\n"
    "NODE is an id, the beginning of one, or an address, as 'dhtctl peers' shows them.\n"
    "\n"
    "  --store DIR          the store\n"
    "  --json               answer in JSON\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n"
    "\n"
    "Exit status: 0; 1 when it failed or check found damage; 2 for a mistake in the command.\n"
    "Of diff: 0 no difference; 1 some; 2 trouble.\n";

#define WITH_ADDRESS .arguments_min = 1, .arguments_max = 1, .argument = { "address" }

static const struct command commands[] = {
	{ .name = "status", .show = show_status },
	{ .name = "put", .arguments_min = 1, .arguments_max = 1, .show = show_address },
	{ .name = "unpin", WITH_ADDRESS },
	{ .name = "pins", .show = show_pin, .list = true },
	{ .name = "get", WITH_ADDRESS },
	{ .name = "sync" },
	{ .name = "snapshot", .arguments_max = 1, .argument = { "note" }, .show = show_address },
	{ .name = "snapshots", .show = show_snapshot, .list = true },
	{ .name = "diff", .arguments_min = 2, .arguments_max = 2, .argument = { "a", "b" },
	  .show = show_change, .list = true, .compares = true },
	{ .name = "gc", .show = show_collected },
	{ .name = "check", .show = show_checked },
	{ .name = "rebuild", .show = show_checked },
	{ .name = "ring", .arguments_max = 2, .show = show_ring, .list = true },
	{ .name = "peers", .show = show_peer, .list = true },
	{ .name = "where", WITH_ADDRESS, .show = show_where, .list = true },
	{ .name = "paths", WITH_ADDRESS, .show = show_path, .list = true },
	{ .name = "repair", .show = show_repaired },
	{ .name = "drain" },
	{ .name = "undrain" },
	{ .name = "leave" },
	{ .name = "evict", .arguments_min = 1, .arguments_max = 1 },
	{ .name = "volume", .arguments_max = 2, .show = show_volume },
	{ .name = "wait" },
	{ .name = "retire", .arguments_min = 1, .arguments_max = 1 },
	{ .name = "maintenance", .arguments_min = 1, .arguments_max = 2, .argument = { NULL, "node" } },
};

/* Options that are for some commands alone. */
static struct {
	const char *admin, *key;
	unsigned int replicas, acks;
	bool open, yes;
} ring_options;

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

static bool tell_rebuild(void *arg, const struct dht_progress *p)
{
	progress_update(arg, p->done, p->total);
	return !interrupted;
}

static void log_rebuild(void *arg, int priority, const char *text)
{
	(void)arg;
	(void)priority;
	fprintf(stderr, "dhtctl: %s\n", text);
}

/* Here, in this process, for nobody else may have the store open. */
static int rebuild(const struct request *o, const struct command *command)
{
	struct dht_options d = { .dir = o->store, .log = log_rebuild };
	struct sigaction action = { .sa_handler = interrupt };
	struct record *record = calloc(1, sizeof(*record));
	struct dht_progress done = { 0 };
	struct progress progress;
	char why[1024] = "";
	struct stat st;
	int r;

	if (!record || stat(o->store, &st) < 0) {
		fprintf(stderr, "dhtctl: %s: %s\n", o->store, strerror(errno));
		free(record);
		return EXIT_FAILURE;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	progress_start(&progress, "read");
	r = dht_rebuild(&d, tell_rebuild, &progress, &done, why, sizeof(why));
	progress_end(&progress);
	if (r == -ECANCELED) {
		fprintf(stderr, "dhtctl: stopped: nothing is lost, but begin again before you mount, "
		    "or the mount will do it\n");
	} else if (r < 0) {
		fprintf(stderr, "dhtctl: %s\n", why[0] ? why : strerror(-r));
	} else {
		record_number(record, "done_bytes", done.done);
		record_number(record, "chunks", done.chunks);
		record_number(record, "bad", done.bad);
		if (o->json)
			show_json(record->b, record->len);
		else
			command->show(record->b, record->len);
		if (o->json)
			putchar('\n');
	}
	free(record);
	return r < 0 || done.bad > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int mistake(const char *what, const char *text)
{
	fprintf(stderr, "dhtctl: %s%s%s: see dhtctl -h\n", what, text ? ": " : "", text ? text : "");
	return EXIT_USAGE;
}

static const struct option long_options[] = {
	{ "store", required_argument, NULL, 's' },
	{ "json", no_argument, NULL, 'j' },
	{ "rate", required_argument, NULL, 'r' },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "admin", required_argument, NULL, 'a' },
	{ "key", required_argument, NULL, 'k' },
	{ "replicas", required_argument, NULL, 'R' },
	{ "acks", required_argument, NULL, 'W' },
	{ "open", no_argument, NULL, 'o' },
	{ "yes", no_argument, NULL, 'y' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

/* A number of copies. */
static int set_copies(const char *option, const char *text, unsigned int *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '1' || *text > '9' || *end || n > RING_REPLICAS_MAX)
		return mistake(option, text);
	*out = (unsigned int)n;
	return -1;
}

/* One of those that go with a ring. */
static int take_ring_option(int option, const char *value)
{
	switch (option) {
	case 'a':
		ring_options.admin = value;
		return -1;
	case 'k':
		ring_options.key = value;
		return -1;
	case 'R':
		return set_copies("--replicas wants a number from 1 to 8, not", value, &ring_options.replicas);
	case 'W':
		return set_copies("--acks wants a number from 1 to 8, not", value, &ring_options.acks);
	case 'o':
		ring_options.open = true;
		return -1;
	case 'y':
		ring_options.yes = true;
		return -1;
	default:	/* getopt has named it */
		fputs("see dhtctl -h\n", stderr);
		return EXIT_USAGE;
	}
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct request *o)
{
	int option, status = -1;

	while (status < 0 && (option = getopt_long(argc, argv, "hV", long_options, NULL)) >= 0) {
		switch (option) {
		case 's':
			o->store = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'r':
			if (size_parse(optarg, &o->rate) < 0 || o->rate == 0)
				return mistake("--rate wants a size, like 50M, not", optarg);
			break;
		case 'n':
			o->dry_run = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			printf("dhtctl %s\n", DHTFS_VERSION);
			return EXIT_SUCCESS;
		default:
			status = take_ring_option(option, optarg);
			break;
		}
	}
	return status;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static bool wants_address(const struct command *command, int i, const char *text)
{
	if (command->compares)
		return strcmp(text, "now") != 0;
	return command->argument[i] && strcmp(command->argument[i], "address") == 0;
}

/* "90", "2h", "30m", "1d": seconds; 0: none of these. */
static uint64_t parse_duration(const char *text)
{
	static const char units[] = "smhd";
	static const uint64_t seconds[] = { 1, 60, 3600, 86400 };
	char *end;
	unsigned long long n = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : units;

	if (*text < '0' || *text > '9' || n > UINT32_MAX || !unit || (*end && end[1]))
		return 0;
	return n * seconds[unit - units];
}

/* The files of a ring are made here; all else about it is asked. */
static int run_ring(int argc, char **argv, const struct request *o, const struct command *command)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (argc == 1)
		return ask(o, command);
	if (strcmp(verb, "create") != 0 && strcmp(verb, "rotate") != 0)
		return mistake("ring can be asked for alone, or with create or rotate, not with", verb);
	if (argc == 2)
		return mistake("name the ring's file: dhtctl ring", verb);
	if (strcmp(verb, "rotate") == 0)
		return ring_rotate(argv[2]);
	return ring_create(argv[2], ring_options.replicas, ring_options.acks, ring_options.open);
}

static int run_evict(const struct request *o, const struct command *command)
{
	if (!ring_options.admin)
		return mistake("evict wants --admin FILE.admin, which 'ring create' made", NULL);
	return ring_evict(o, command, ring_options.admin);
}

static int run_retire(const struct request *o, const struct command *command)
{
	if (!ring_options.key)
		return mistake("retire wants --key FILE, the volume's exported key", NULL);
	return ring_retire(o, command, ring_options.key);
}

static int run_volume(int argc, char **argv, const struct request *o, const struct command *command)
{
	if (argc == 1)
		return ask(o, command);
	if (strcmp(argv[1], "export") != 0)
		return mistake("volume can be asked for alone, or with export, not with", argv[1]);
	if (argc == 2)
		return mistake("name a new file for the key: dhtctl volume export FILE", NULL);
	return volume_export(o->store, argv[2], ring_options.yes);
}

static int dispatch(int argc, char **argv, struct request *o, const struct command *command)
{
	if (strcmp(command->name, "rebuild") == 0)
		return rebuild(o, command);
	if (strcmp(command->name, "ring") == 0)
		return run_ring(argc, argv, o, command);
	if (strcmp(command->name, "volume") == 0)
		return run_volume(argc, argv, o, command);
	if (strcmp(command->name, "evict") == 0)
		return run_evict(o, command);
	if (strcmp(command->name, "retire") == 0)
		return run_retire(o, command);
	if (strcmp(command->name, "maintenance") == 0) {
		o->seconds = parse_duration(argv[1]);
		if (o->seconds == 0)
			return mistake("maintenance wants a time like 30m or 2h, not", argv[1]);
	}
	return ask(o, command);
}

/* Options that would be passed over. */
static int check_options(const struct request *o, const char *name)
{
	if (o->rate > 0 && strcmp(name, "check") != 0)
		return mistake("--rate is for check, not for", name);
	if (o->dry_run && strcmp(name, "gc") != 0)
		return mistake("--dry-run is for gc, not for", name);
	if (ring_options.admin && strcmp(name, "evict") != 0)
		return mistake("--admin is for evict, not for", name);
	if (ring_options.yes && strcmp(name, "volume") != 0)
		return mistake("--yes is for volume export, not for", name);
	if (ring_options.key && strcmp(name, "retire") != 0)
		return mistake("--key is for retire, not for", name);
	if ((ring_options.replicas || ring_options.acks || ring_options.open) && strcmp(name, "ring") != 0)
		return mistake("--replicas, --acks and --open are for ring create, not for", name);
	return -1;
}

static int run(int argc, char **argv, struct request *o)
{
	const struct command *command = argc > 0 ? find_command(argv[0]) : NULL;
	struct address a;
	int status;

	if (argc == 0)
		return mistake("no command", NULL);
	if (!command)
		return mistake("unknown command", argv[0]);
	if (argc - 1 < command->arguments_min)
		return mistake("an argument is missing to", command->name);
	if (argc - 1 > command->arguments_max)
		return mistake("one argument too many", argv[command->arguments_max + 1]);
	status = check_options(o, command->name);
	for (int i = 0; status < 0 && i < argc - 1; i++) {
		o->argument[i] = argv[i + 1];
		if (wants_address(command, i, argv[i + 1]) && address_parse(argv[i + 1], &a) < 0)
			return mistake("an address has 64 hex digits, not", argv[i + 1]);
	}
	return status < 0 ? dispatch(argc, argv, o, command) : status;
}

int main(int argc, char **argv)
{
	struct request o = { 0 };
	char *default_store = NULL;
	int status = parse_options(argc, argv, &o);

	if (status >= 0)
		return status;
	if (!o.store)
		o.store = default_store = home_default_store();
	status = o.store ? run(argc - optind, argv + optind, &o)
			 : mistake("no home to look for the store in", "give --store DIR");
	free(default_store);
	return status;
}
