/* dhtctl: asks and commands a running dhtfs; dhtctl(1) says what each command does. */
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
#include "dht/program/home.h"
#include "dht/program/size.h"
#include "tools/ask.h"
#include "tools/show.h"

#define EXIT_USAGE 2

static const char usage[] =
    "usage: dhtctl [--store DIR] [--json] COMMAND\n"
    "\n"
    "Ask and command the dhtfs that runs on the store DIR (default: the one that dhtfs\n"
    "uses by default).\n"
    "\n"
    "  status               what it does and how full it is\n"
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
    "  --store DIR          the store\n"
    "  --json               answer in JSON\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n"
    "\n"
    "Exit status: 0; 1 when it failed or check found damage; 2 for a mistake in the command.\n"
    "Of diff: 0 no difference; 1 some; 2 trouble.\n";

static const struct command commands[] = {
	{ .name = "status", .show = show_status },
	{ .name = "put", .arguments_min = 1, .arguments_max = 1, .show = show_address },
	{ .name = "unpin", .arguments_min = 1, .arguments_max = 1, .argument = { "address" } },
	{ .name = "pins", .show = show_pin, .list = true },
	{ .name = "get", .arguments_min = 1, .arguments_max = 1, .argument = { "address" } },
	{ .name = "sync" },
	{ .name = "snapshot", .arguments_max = 1, .argument = { "note" }, .show = show_address },
	{ .name = "snapshots", .show = show_snapshot, .list = true },
	{ .name = "diff", .arguments_min = 2, .arguments_max = 2, .argument = { "a", "b" },
	  .show = show_change, .list = true, .compares = true },
	{ .name = "gc", .show = show_collected },
	{ .name = "check", .show = show_checked },
	{ .name = "rebuild", .show = show_checked },
};

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
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct request *o)
{
	int option;

	while ((option = getopt_long(argc, argv, "hV", long_options, NULL)) >= 0) {
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
		default:	/* getopt has named it */
			fputs("see dhtctl -h\n", stderr);
			return EXIT_USAGE;
		}
	}
	return -1;
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

static int run(int argc, char **argv, struct request *o)
{
	const struct command *command = argc > 0 ? find_command(argv[0]) : NULL;
	struct address a;

	if (argc == 0)
		return mistake("no command", NULL);
	if (!command)
		return mistake("unknown command", argv[0]);
	if (argc - 1 < command->arguments_min)
		return mistake("an argument is missing to", command->name);
	if (argc - 1 > command->arguments_max)
		return mistake("one argument too many", argv[command->arguments_max + 1]);
	if (o->rate > 0 && strcmp(command->name, "check") != 0)
		return mistake("--rate is for check, not for", command->name);
	if (o->dry_run && strcmp(command->name, "gc") != 0)
		return mistake("--dry-run is for gc, not for", command->name);
	for (int i = 0; i < argc - 1; i++) {
		o->argument[i] = argv[i + 1];
		if (wants_address(command, i, argv[i + 1]) && address_parse(argv[i + 1], &a) < 0)
			return mistake("an address has 64 hex digits, not", argv[i + 1]);
	}
	return strcmp(command->name, "rebuild") == 0 ? rebuild(o, command) : ask(o, command);
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
