#include "dht/peer/peer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sodium.h>

#include "chunker/deadline.h"
#include "dht/net/ringfile.h"
#include "dht/peer/endpoint.h"
#include "dht/peer/peer_impl.h"

#define JOINS_MAX 64u
/* What all connections may take, those that are greeting and dialled among them, and 256 for segments, the shelf and the mount. */
#define FILES_WANTED (LINKS_MAX + LINKS_ACCEPTED_MAX + DOOR_MAX + DIALS_MAX + 256u)
/* An empty file in the store's folder: when it last ran, this node kept nothing. */
#define PART_FILE "keeps-nothing"
/* Likewise: its shelf is younger than its key; until it has met a member. */
#define FORGOT_FILE "shelf-lost"

const struct address *peer_id(const struct peer *p)
{
	return &p->identity->id;
}

const struct ring_file *peer_ring(const struct peer *p)
{
	return &p->file;
}

struct shelf *peer_shelf(struct peer *p)
{
	return p->shelf;
}

bool peer_make_room(struct peer *p)
{
	return disk_make_room(p->disk);
}

const char *peer_address(const struct peer *p, unsigned int i)
{
	return i < MEMBER_ADDRESSES && p->advertised.address[i][0] ? p->advertised.address[i] : NULL;
}

bool peer_alone(struct peer *p)
{
	return atomic_load_explicit(&p->alone, memory_order_relaxed);
}

bool peer_over(int result)
{
	return result == -EKEYREVOKED || result == -EEXIST;
}

bool peer_joined(struct peer *p, unsigned int ms)
{
	struct timespec until = deadline_in(CLOCK_MONOTONIC, ms);
	bool joined;

	pthread_mutex_lock(&p->joined_lock);
	while (!p->joined && pthread_cond_timedwait(&p->joined_cond, &p->joined_lock, &until) != ETIMEDOUT)
		continue;
	joined = p->joined;
	pthread_mutex_unlock(&p->joined_lock);
	return joined;
}

static void raise_files(struct peer *p)
{
	struct rlimit r;
	rlim_t most;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	most = r.rlim_max > FILES_WANTED ? FILES_WANTED : r.rlim_max;
	if (r.rlim_cur < most) {
		r.rlim_cur = most;
		if (setrlimit(RLIMIT_NOFILE, &r) < 0)
			getrlimit(RLIMIT_NOFILE, &r);
	}
	p->files_max = r.rlim_cur > INT_MAX ? INT_MAX : (int)r.rlim_cur;
	if (r.rlim_cur < FILES_WANTED)
		peer_log(p, LOG_WARNING, "this process may have %d files open, and %u are wanted for all connections: raise the "
		    "limit (ulimit -Hn, LimitNOFILE=)", p->files_max, FILES_WANTED);
}

/* ---- whether it keeps anything ---- */

static int path_of(const struct peer *p, const char *name, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/%s", p->dir, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static bool is_there(const struct peer *p, const char *name)
{
	char path[PATH_MAX];

	return path_of(p, name, path) == 0 && access(path, F_OK) == 0;
}

static void remove_note(const struct peer *p, const char *name)
{
	char path[PATH_MAX];

	if (path_of(p, name, path) == 0)
		unlink(path);
}

/* Durably. */
static int make_note(const struct peer *p, const char *name, char *why, size_t why_size)
{
	char path[PATH_MAX];
	int rc = path_of(p, name, path), fd, dirfd;

	if (rc < 0)
		return rc;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	dirfd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || dirfd < 0 || fsync(dirfd) < 0) {
		rc = -errno;
		snprintf(why, why_size, "%s could not be made: %s", path, strerror(-rc));
	}
	if (fd >= 0)
		close(fd);
	if (dirfd >= 0)
		close(dirfd);
	return rc;
}

/* Noted before the ring hears of it: who is killed in between is not out for good. */
static int note_part(struct peer *p, char *why, size_t why_size)
{
	p->kept_nothing = is_there(p, PART_FILE);
	return p->keeps_nothing && !p->kept_nothing ? make_note(p, PART_FILE, why, why_size) : 0;
}

void part_taken(struct peer *p)
{
	p->part_ticket = 0;
	/* Where that fails it is said once more at the next start. */
	remove_note(p, PART_FILE);
}

/* ---- whether its shelf was lost ---- */

/*
 * Who forgot that others are in the ring and went on as its founder would be a majority of one: its volume would have two heads of one number as
 * soon as it meets them.  The shelf is made before the key: so a key without a shelf had one.
 */
static int note_forgot(const struct peer *p, char *why, size_t why_size)
{
	return is_there(p, IDENTITY_FILE) && !is_there(p, SHELF_FILE) ? make_note(p, FORGOT_FILE, why, why_size) : 0;
}

static void look_forgot(struct peer *p, const struct peer_options *o)
{
	struct catalogue *c = shelf_catalogue(p->shelf);
	struct address id;

	if (!is_there(p, FORGOT_FILE))
		return;
	p->forgot = !p->identity->made && !c->rows(c, ROW_MEMBER, NULL, &id);
	if (!p->forgot)
		remove_note(p, FORGOT_FILE);
	else if (!o->join || !o->join[0])
		peer_log(p, LOG_WARNING, "the notes of this node on the ring are lost (%s/" SHELF_FILE "), so it waits for a member that knows it: --join names "
		    "one; where there was no other, remove %s/" IDENTITY_FILE ": it comes as a new node then", p->dir, p->dir);
}

/* Where it knows members it connects to them. */
static void look_reach(struct peer *p, const struct peer_options *o)
{
	struct catalogue *c = shelf_catalogue(p->shelf);
	struct address id;

	if (!p->forgot && !peer_address(p, 0) && (!o->join || !o->join[0]) && !c->rows(c, ROW_MEMBER, NULL, &id))
		peer_log(p, LOG_WARNING, "this node knows no member of the ring, and listens nowhere: it is alone, and nobody can join it; "
		    "--join HOST names a member, --listen HOST lets others join");
}

/* ---- opening ---- */

static void free_names(char **name)
{
	for (unsigned int i = 0; name && name[i]; i++)
		free(name[i]);
	free(name);
}

/* "host" becomes "host:port". */
static int joins(const char *const *join, char ***out, char *why, size_t why_size)
{
	char text[ENDPOINT_TEXT], **name = calloc(JOINS_MAX + 1, sizeof(*name));
	struct endpoint e;
	unsigned int i;

	*out = name;
	for (i = 0; name && join && join[i]; i++) {
		if (i == JOINS_MAX) {
			snprintf(why, why_size, "--join: %u members at most", JOINS_MAX);
			return -EINVAL;
		}
		if (endpoint_parse(join[i], PEER_PORT, &e) < 0 || endpoint_format(&e, text) >= sizeof(((struct effect *)0)->text)) {
			snprintf(why, why_size, "--join %s: write host, host:port or [v6]:port", join[i]);
			return -EINVAL;
		}
		name[i] = strdup(text);
		if (!name[i])
			break;
	}
	if (name && (!join || !join[i]))
		return 0;
	snprintf(why, why_size, "no memory");
	return -ENOMEM;
}

static int make_node(struct peer *p, const struct peer_options *o, char *why, size_t why_size)
{
	struct node_options n = {
		.file = &p->file, .newborn = p->identity->made, .forgot = p->forgot, .weight = (uint8_t)o->weight, .zone = o->zone, .instance = p->identity->instance,
		.generation = p->identity->generation, .catalogue = shelf_catalogue(p->shelf), .volume_max = o->volume_max,
	};
	char **seeds;
	int rc = joins(o->join, &seeds, why, why_size);

	if (rc == 0 && (o->weight < 1 || o->weight > RING_WEIGHT_MAX)) {
		rc = -EINVAL;
		snprintf(why, why_size, "--weight %u: from 1 to %u", o->weight, RING_WEIGHT_MAX);
	}
	if (rc == 0 && o->zone && !member_zone_valid(o->zone)) {
		rc = -EINVAL;
		snprintf(why, why_size, "--zone %s: at most %u characters of printable ASCII", o->zone, RING_ZONE_LEN);
	}
	if (rc == 0) {
		memcpy(n.key, p->identity->key, sizeof(n.key));
		memcpy(n.secret, p->identity->secret, sizeof(n.secret));
		for (unsigned int i = 0; i < MEMBER_ADDRESSES; i++)
			n.address[i] = peer_address(p, i);
		n.seeds = (const char *const *)seeds;
		randombytes_buf(&n.seed, sizeof(n.seed));
		rc = node_new(&n, &p->node);
		sodium_memzero(n.secret, sizeof(n.secret));
		if (rc < 0)
			snprintf(why, why_size, "the node could not be made: %s", strerror(-rc));
	}
	free_names(seeds);
	return rc;
}

static int start_thread(struct peer *p)
{
	sigset_t all, before;
	int rc;

	/* Signals are for others, and a connection that has gone must not kill the process.  Faults stay ours. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	uv_sem_init(&p->started, 0);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = -pthread_create(&p->thread, NULL, loop_main, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		uv_sem_wait(&p->started);
	uv_sem_destroy(&p->started);
	return rc;
}

static struct peer *new_peer(const struct peer_options *o)
{
	struct peer *p = calloc(1, sizeof(*p));
	pthread_condattr_t clock;

	if (!p)
		return NULL;
	p->file = *o->ring;
	if (o->older) {
		p->older = *o->older;
		p->has_older = true;
	}
	p->keeps_nothing = o->keeps_nothing;
	p->log = o->log;
	p->stopped = o->stopped;
	p->arg = o->arg;
	p->pool.max = LINK_POOL;
	p->dir = strdup(o->dir);
	p->buffer = malloc(READ_BUFFER);
	if (!p->dir || !p->buffer || loop_init(p) < 0) {
		free(p->dir);
		free(p->buffer);
		free(p);
		return NULL;
	}
	pthread_mutex_init(&p->joined_lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&p->joined_cond, &clock);
	pthread_condattr_destroy(&clock);
	raise_files(p);
	return p;
}

/* All that it has, behind the end of the loop, or before it ever ran. */
static int free_peer(struct peer *p)
{
	int rc = 0;

	loop_end(p);
	p->ended = true;
	if (p->disk)
		disk_close(p->disk);
	/* What the disk said at the end, and names that nobody waits for. */
	bridge_run(&p->bridge);
	node_free(p->node);
	aead_free(p->aead);
	tables_free(p);
	if (p->shelf)
		rc = shelf_close(p->shelf);
	bridge_free(&p->bridge);
	pthread_mutex_destroy(&p->ask_lock);
	pthread_cond_destroy(&p->joined_cond);
	pthread_mutex_destroy(&p->joined_lock);
	pthread_mutex_destroy(&p->spare_lock);
	identity_free(p->identity);
	sodium_memzero(&p->file, sizeof(p->file));
	sodium_memzero(&p->older, sizeof(p->older));
	free(p->buffer);
	free(p->dir);
	free(p);
	return rc;
}

static void announce(struct peer *p)
{
	char id[ADDRESS_TEXT_LEN + 1], at[MEMBER_ADDRESSES * (MEMBER_ADDRESS_LEN + 2) + 1] = "";

	address_format(peer_id(p), id);
	for (unsigned int i = 0; peer_address(p, i); i++)
		sprintf(at + strlen(at), " %s", peer_address(p, i));
	peer_log(p, LOG_NOTICE, "node %.16s at%s", id, at[0] ? at : " no address: it connects to others only");
	if (ring_file_open(&p->file))
		peer_log(p, LOG_WARNING, "the ring is open: whoever reaches a member's port is a member, and can read all of it");
}

static int open_aead(struct peer *p, char *why, size_t why_size)
{
	int rc = aead_new(&p->aead);

	if (rc == -ENOSYS)
		snprintf(why, why_size, "this machine's libcrypto (OpenSSL) has no ChaCha20-Poly1305, without which there are no connections");
	return rc;
}

int peer_open(const struct peer_options *o, struct peer **out, char *why, size_t why_size)
{
	struct disk_options d = { .store = o->store, .done = loop_disk_done };
	struct peer *p;
	int rc;

	*out = NULL;
	snprintf(why, why_size, "no memory");
	if (sodium_init() < 0)
		return -ENOSYS;
	p = new_peer(o);
	if (!p)
		return -ENOMEM;
	rc = open_aead(p, why, why_size);
	if (rc == 0)
		rc = note_forgot(p, why, why_size);
	if (rc == 0)
		rc = shelf_open(p->dir, o->store, &p->shelf, why, why_size);
	if (rc == 0 && *why)
		peer_log(p, LOG_NOTICE, "%s", why);
	if (rc == 0)
		rc = identity_open(p->dir, &p->file.id, &p->identity, why, why_size);
	if (rc == 0)
		rc = note_part(p, why, why_size);
	if (rc == 0)
		look_forgot(p, o);
	if (rc == 0)
		rc = listen_open(p, o->listen, o->advertise, &p->advertised, why, why_size);
	if (rc == 0)
		look_reach(p, o);
	if (rc == 0)
		rc = make_node(p, o, why, why_size);
	if (rc == 0) {
		d.shelf = p->shelf;
		d.arg = p;
		rc = disk_open(&d, &p->disk);
	}
	if (rc == 0)
		rc = start_thread(p);
	if (rc < 0) {
		free_peer(p);
		return rc;
	}
	announce(p);
	*out = p;
	return 0;
}

int peer_close(struct peer *p)
{
	assert(!pthread_equal(pthread_self(), p->thread));
	bridge_send(&p->bridge, &p->closing_job);
	pthread_join(p->thread, NULL);
	return free_peer(p);
}
