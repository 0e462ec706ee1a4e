/* dhtd: a node of a ring without a mount; dhtd(1) says what for. */
#include <errno.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dht/control/metrics.h"
#include "dht/control/ring.h"
#include "dht/control/server.h"
#include "dht/control/store.h"
#include "dht/peer/joining.h"
#include "dht/program/config.h"
#include "dht/program/home.h"
#include "dht/program/log.h"
#include "dht/program/process.h"
#include "dht/program/size.h"
#include "dht/store.h"

#define EXIT_USAGE	2
#define EXIT_OVER	3	/* to start it again would change nothing */
#define WHY_SIZE	1024
#define LOCK_WAIT_MS	30000u	/* for a process that still closes the store */

static const char usage[] =
    "usage: dhtd [options]\n"
    "\n"
    "Be a node of a ring: keep copies of its members' data, without a mount.\n"
    "\n"
    "  --store DIR              where the data is kept (default: $XDG_DATA_HOME/dhtfs or\n"
    "                           ~/.local/share/dhtfs)\n"
    "  --size-max SIZE          bytes that the store may take (default: the disk's)\n"
    "  --config FILE            read settings there, not in /etc/dhtfs.conf and ~/.config/dhtfs/config\n"
    "  -f, --foreground         stay in the foreground, log to stderr\n"
    "  -d, --debug              the same, and log more\n"
    "  -h, --help               this text\n"
    "  -V, --version            the version\n"
    "\n";

static const char usage_end[] =
    "\n"
    "SIZE is a number of bytes, or has one of the letters K, M, G, T, P, E behind it.\n"
    "To end it: SIGTERM.  dhtctl(1) asks and commands it.\n";

/* What the command line and the files of settings say. */
struct dhtd_options {
	char *store, *config;
	bool store_default, foreground, debug;
	uint64_t size_max;
	struct settings settings;
};

struct dhtd {
	struct dhtd_options options;
	struct timespec started;
	struct store *store;
	struct ring_control ring;
	struct metrics *metrics;
	struct call_table tables[3];
	struct call_program program;
	struct server *server;
};

/* The core ended this node; main() is told by a SIGTERM, and exits with this. */
static atomic_bool ended;
static atomic_int ended_status;

/* ---- options ---- */

/* Names of the mount's in a file that is for both programs, with '-' or '_' between words. */
static bool is_the_mounts(const char *name)
{
	static const char *const names[] = { "dirty-max", "dirty_max", "cache", "keep", "by-hash", "by_hash", "by-hash-mode", "by_hash_mode" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return settings_for_mount(name);
}

static int set(struct dhtd_options *o, const char *name, const char *value, char *why, size_t why_size)
{
	char **text = strcmp(name, "store") == 0 ? &o->store : strcmp(name, "config") == 0 ? &o->config : NULL;

	if (strcmp(name, "size-max") == 0) {
		if (size_parse(value, &o->size_max) == 0)
			return 0;
		snprintf(why, why_size, "'%s' is no size: give a number of bytes, or one like 10G", value);
		return -EINVAL;
	}
	if (!text)
		return settings_set(&o->settings, name, value, why, why_size);
	if (!*value) {
		snprintf(why, why_size, "nothing was given");
		return -EINVAL;
	}
	free(*text);
	*text = strdup(value);
	return *text ? 0 : -ENOMEM;
}

static int set_from_file(void *arg, const char *name, const char *value, char *why, size_t why_size)
{
	if (strcmp(name, "config") == 0)
		return -ENOENT;
	return is_the_mounts(name) ? 0 : set(arg, name, value, why, why_size);
}

#define OPTION_OURS 256

static const struct option long_options[] = {
	{ "store", required_argument, NULL, OPTION_OURS },
	{ "size-max", required_argument, NULL, OPTION_OURS },
	{ "config", required_argument, NULL, OPTION_OURS },
	{ "foreground", no_argument, NULL, 'f' },
	{ "debug", no_argument, NULL, 'd' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	SETTINGS_OPTIONS,
	{ 0 },
};

/* -1: go on; else the exit status. */
static int take_option(struct dhtd_options *o, int option, int index, const char *value)
{
	char why[WHY_SIZE] = "";
	int r;

	switch (option) {
	case 'f':
		o->foreground = true;
		return -1;
	case 'd':
		o->debug = o->foreground = true;
		return -1;
	case OPTION_OURS:
	case SETTINGS_OPTION:
		if (settings_for_mount(long_options[index].name)) {
			fprintf(stderr, "dhtd: --%s is for a mount: give it to dhtfs\n", long_options[index].name);
			return EXIT_USAGE;
		}
		r = set(o, long_options[index].name, value ? value : "", why, sizeof(why));
		if (r == 0)
			return -1;
		fprintf(stderr, "dhtd: --%s: %s\n", long_options[index].name, why[0] ? why : strerror(-r));
		return EXIT_USAGE;
	case 'h':
		printf("%s%s%s", usage, settings_usage, usage_end);
		return EXIT_SUCCESS;
	case 'V':
		printf("dhtd %s\n", DHTFS_VERSION);
		return EXIT_SUCCESS;
	default:	/* getopt has named it */
		fprintf(stderr, "see dhtd -h\n");
		return EXIT_USAGE;
	}
}

/* The named file of settings; the rest, and mistakes, are found later. */
static int find_config(int argc, char **argv, struct dhtd_options *o)
{
	int option, index = 0;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "fdhV", long_options, &index)) >= 0) {
		if (option == OPTION_OURS && strcmp(long_options[index].name, "config") == 0)
			take_option(o, option, index, optarg);
	}
	opterr = 1;
	optind = 0;
	return 0;
}

static int finish_options(struct dhtd_options *o)
{
	char why[WHY_SIZE];
	int r;

	o->store_default = !o->store;
	if (!o->store)
		o->store = home_default_store();
	if (!o->store) {
		fprintf(stderr, "dhtd: no home to keep the store in: give --store DIR\n");
		return EXIT_USAGE;
	}
	r = home_absolute(&o->store);
	if (r < 0) {
		fprintf(stderr, "dhtd: the working directory: %s\n", strerror(-r));
		return EXIT_FAILURE;
	}
	if (settings_finish(&o->settings, why, sizeof(why)) < 0) {
		fprintf(stderr, "dhtd: %s\n", why);
		return EXIT_USAGE;
	}
	if (settings_networked(&o->settings))
		return -1;
	fprintf(stderr, "dhtd: of which ring? Give --ring FILE: make one with 'dhtctl ring create FILE', and give a "
	    "copy of it to each machine\n");
	return EXIT_USAGE;
}

/* As take_option(). */
static int parse_options(int argc, char **argv, struct dhtd_options *o)
{
	const struct config_reader reader = { .program = "dhtd", .set = set_from_file, .arg = o };
	int option, index = 0, status = -1;

	settings_init(&o->settings);
	find_config(argc, argv, o);
	if (config_read_all(&reader, o->config, settings_next_layer, &o->settings) < 0)
		return EXIT_USAGE;
	while (status < 0 && (option = getopt_long(argc, argv, "fdhV", long_options, &index)) >= 0)
		status = take_option(o, option, index, optarg);
	if (status < 0 && optind < argc) {
		fprintf(stderr, "dhtd: '%s' is one word too many: see dhtd -h\n", argv[optind]);
		return EXIT_USAGE;
	}
	return status < 0 ? finish_options(o) : status;
}

static void free_options(struct dhtd_options *o)
{
	free(o->store);
	free(o->config);
	settings_free(&o->settings);
}

/* ---- what dhtctl asks ---- */

static int command_status(struct call *c)
{
	struct dhtd *d = c->arg;
	struct dht_status status;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	store_status(d->store, &status);
	record_text(&c->record, "version", DHTFS_VERSION);
	record_text(&c->record, "program", "dhtd");
	record_text(&c->record, "store", d->options.store);
	record_number(&c->record, "pid", (uint64_t)getpid());
	record_number(&c->record, "uptime_s", (uint64_t)(now.tv_sec - d->started.tv_sec));
	record_space(&c->record, &status);
	ring_record(c, d->ring.peer);
	return call_answer(c, FRAME_RECORD);
}

static int command_check(struct call *c)
{
	struct dhtd *d = c->arg;
	struct dht_progress p = { 0 };
	int r = store_check(d->store, call_number(c, "rate"), call_tell, c, &p);

	if (r < 0)
		return r;
	record_progress(&c->record, &p);
	return call_answer(c, FRAME_RECORD);
}

static const struct call_command dhtd_commands[] = {
	{ "status", command_status },
	{ "check", command_check },
	{ 0 },
};

/* ---- from the store to the ring, and back ---- */

static void stopped(void *arg, int result, const char *why)
{
	(void)arg;
	log_line(result == 0 ? LOG_NOTICE : LOG_CRIT, "this node ends: %s", why);
	atomic_store(&ended_status, result == 0 ? EXIT_SUCCESS : peer_over(result) ? EXIT_OVER : EXIT_FAILURE);
	atomic_store(&ended, true);
	kill(getpid(), SIGTERM);
}

static int open_store(struct dhtd *d, char *why, size_t why_size)
{
	const struct dht_options o = {
		.dir = d->options.store,
		.size_max = d->options.size_max,
		.lock_wait_ms = LOCK_WAIT_MS,
		.log = log_text,
	};
	int r = d->options.store_default ? home_make_parents(d->options.store) : 0;

	if (r < 0) {
		snprintf(why, why_size, "the folders above the store %s: %s", d->options.store, strerror(-r));
		return r;
	}
	return store_open(&o, false, NULL, NULL, NULL, &d->store, why, why_size);
}

static int open_peer(struct dhtd *d, char *why, size_t why_size)
{
	struct joining joining;
	struct dht_space space;
	int r;

	store_space(d->store, &space);
	r = joining_init(&joining, &d->options.settings, space.limit, why, why_size);
	if (r < 0)
		return r;
	joining.options.store = d->store;
	joining.options.dir = d->options.store;
	joining.options.log = log_text;
	joining.options.stopped = stopped;
	joining.options.arg = d;
	r = peer_open(&joining.options, &d->ring.peer, why, why_size);
	if (r == 0 && !joining_wait(&joining, d->ring.peer))
		log_line(LOG_WARNING, "no member of the ring has answered yet: it goes on trying");
	joining_wipe(&joining);
	return r;
}

static int start_server(struct dhtd *d, char *why, size_t why_size)
{
	int r;

	d->tables[0] = (struct call_table){ dhtd_commands, d };
	d->tables[1] = (struct call_table){ ring_commands, &d->ring };
	d->program = (struct call_program){ .name = "dhtd", .ends = "dhtd ends", .tables = d->tables };
	r = server_start(&d->program, d->options.store, &d->server);
	if (r < 0)
		snprintf(why, why_size, "the control socket in %s: %s", d->options.store, strerror(-r));
	if (r == 0 && d->options.settings.metrics)
		r = metrics_start(d->options.settings.metrics, d->options.store, &d->metrics, why, why_size);
	return r;
}

/* Who is asked goes first, then the ring, then what it writes to. */
static int close_all(struct dhtd *d)
{
	int r = 0, closed;

	metrics_stop(d->metrics);
	if (d->server)
		server_stop(d->server);
	if (d->ring.peer)
		r = peer_close(d->ring.peer);
	closed = d->store ? store_close(d->store) : 0;
	return r < 0 ? r : closed;
}

static int run(struct dhtd *d, const sigset_t *set)
{
	char why[WHY_SIZE] = "";
	int r, sig = 0, closed;

	process_end_at_once("it has not started yet");
	r = open_store(d, why, sizeof(why));
	if (r == 0)
		r = open_peer(d, why, sizeof(why));
	if (r == 0)
		r = start_server(d, why, sizeof(why));
	process_end_orderly();
	if (r < 0) {
		log_line(LOG_ERR, "%s", why[0] ? why : strerror(-r));
		close_all(d);
		return EXIT_FAILURE;
	}
	process_ready();
	log_line(LOG_INFO, "a node of the ring, with store %s", d->options.store);
	while (sigwait(set, &sig) != 0)
		;
	closed = close_all(d);
	if (closed < 0)
		log_line(LOG_CRIT, "not everything could be made durable: %s", strerror(-closed));
	else
		log_line(LOG_INFO, "ended%s%s", atomic_load(&ended) ? "" : " by ", atomic_load(&ended) ? "" : strsignal(sig));
	return closed < 0 ? EXIT_FAILURE : atomic_load(&ended_status);
}

int main(int argc, char **argv)
{
	struct dhtd d = { .store = NULL };
	sigset_t set;
	int status;

	log_open("dhtd", false);
	process_begin();
	status = parse_options(argc, argv, &d.options);
	if (status < 0) {
		log_open("dhtd", d.options.debug);
		clock_gettime(CLOCK_MONOTONIC, &d.started);
		process_serve();
		if (!d.options.foreground)
			process_background();
		process_block_signals(&set);
		status = run(&d, &set);
	}
	free_options(&d.options);
	return status;
}
