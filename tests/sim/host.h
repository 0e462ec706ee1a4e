/*
 * host: a machine with a process on it: one node, its links, its clock, its disk.  Feeds the node, and carries out
 * its effects, as a shell would.  What a process is told, it is told one thing at a time, and each takes its time.
 */
#ifndef TESTS_SIM_HOST_H
#define TESTS_SIM_HOST_H

#include "chunker/list.h"
#include "dht/net/node.h"
#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/sim/world.h"

#define HOST_BUCKETS 64u

struct host {
	struct address id;		/* first: the key */
	struct world *world;
	unsigned int index;
	char name[16], address[24], zone[RING_ZONE_LEN + 1];
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET], weight;
	struct dice dice;
	struct disk *disk;
	struct node *node;		/* NULL: no process */
	uint64_t boot;			/* counts the processes */
	bool founds;			/* it was started with nobody to ask, and has that disk still */
	uint64_t started;		/* when the present one was */
	unsigned int told;		/* the last host that it was given as a seed, when it was started */
	bool off;			/* the machine is */
	bool gone;			/* for good: left, evicted, stopped by itself */
	bool leaving, draining, evicted;
	bool member;			/* as the world means it: was started, and did not leave */
	bool crawls;			/* each event takes long */
	uint64_t thawed;		/* when it last stood still */
	unsigned int lies;		/* enum lie; 0: honest.  liar: has ever lied */
	bool liar;
	struct liar *memory;		/* a liar's */
	/* links */
	struct list links;		/* in the order in which they came */
	struct hostlink *bucket[HOST_BUCKETS];
	struct list dirty;		/* links with something to write */
	struct list timed;		/* what is planned for its processes */
	uint32_t next_link;
	struct link_pool pool;
	struct ring **table;		/* that the node was given and has not given back */
	unsigned int tables, tables_size;
	/* the clock that the node sees: it began at base when the world's time was origin */
	uint64_t clock_base, clock_origin;
	int64_t skew_ppm;
	uint64_t wake;			/* the earliest planned one; UINT64_MAX: none */
	uint64_t busy_until, cost;	/* each event takes ${cost} us */
	/* where it stands in the network */
	int x, y;
	uint8_t group;
	uint64_t bandwidth, uplink_free;
	/* counts */
	uint64_t sent_bytes[LINK_PRIORITIES], chunk_bytes[LINK_PRIORITIES], messages;
	uint64_t reads, reads_hedged, reads_one_trip;	/* of its processes before this one */
	size_t hoard;			/* bytes of messages that its process keeps for nothing */
	char stopped[160];		/* EFFECT_STOP's text */
};

void hosts_open(struct world *w);
void hosts_close(struct world *w);

/** host_new(w): one more machine, with an empty disk, no process yet. */
struct host *host_new(struct world *w);

/** host_start(h): a new process.  host_stop(h, power): it ends, killed, or with its machine; ${power}: what
 * was not synced may be lost or torn, and nobody is told.  host_power(h): the machine is on again, without a process. */
void host_start(struct host *h);
void host_stop(struct host *h, bool power);
void host_power(struct host *h);

/** host_told(h): who waits for the ring, and was given only seeds that have gone for good, is started with others. */
void host_told(struct host *h);

/** hosts_reads(w, out): of all processes that ever ran: reads, those with a second request, those with one round trip. */
struct reads {
	uint64_t all, hedged, one_trip;
};
void hosts_reads(const struct world *w, struct reads *out);

/** host_ready(h): when it can take the next event: now, or later, where it is busy or frozen. */
uint64_t host_ready(const struct host *h);
void host_freeze(struct host *h, uint64_t until);
uint64_t host_clock(const struct host *h);
void host_set_skew(struct host *h, int64_t ppm);

/** host_command(h, c): what its user wants.  load_reply() is told. */
void host_command(struct host *h, const struct command *c);

/** host_done(h, boot, e): an effect's answer, unless its process has gone; true: it was taken. */
bool host_done(struct host *h, uint64_t boot, struct event *e);

/** host_send(h, link, e): what the node sends, or what a liar makes of it. */
void host_send(struct host *h, const struct effect *e);

/* From the network. */
struct hostlink *host_accept(struct host *h, struct connection *c);	/* NULL: refused */
void host_connected(struct hostlink *l);
void host_received(struct hostlink *l, const uint8_t *bytes, size_t len);
void host_room(struct hostlink *l);
void host_broken(struct hostlink *l, int why);	/* the connection has let go of it */

/** host_any(w, d, want): an honest host with a process, at random; NULL: none. */
struct host *host_any(struct world *w, struct dice *d);
struct host *host_by_id(struct world *w, const struct address *id);

#endif
