/* load_impl: what the files of the users share: requests under way, volumes. */
#ifndef TESTS_SIM_LOAD_IMPL_H
#define TESTS_SIM_LOAD_IMPL_H

#include "dht/net/signed.h"
#include "tests/sim/books.h"
#include "tests/sim/host.h"
#include "tests/sim/load.h"

#define WITNESSES 8u
#define WRITERS	  2u

struct slot_lease;
struct version;
struct writer;

/* A command that was given and is not answered. */
struct request {
	uint64_t ticket;		/* 0: free */
	struct host *host;
	uint64_t boot;
	enum command_kind kind;
	uint64_t started, clock, timeout;	/* the world's time, the host's, and how long */
	struct item *item;
	unsigned int acks, losses;
	uint16_t witness[WITNESSES];	/* honest owners that had it when it was asked for */
	unsigned int witnesses;
	bool local, final;		/* final: it must succeed */
	bool agreed;			/* its host had the right table */
	struct volume *volume;
	struct slot_lease *slot;
	uint64_t seq, promised;
	struct item **items;		/* of a lease */
	unsigned int count;
	struct writer *writer;
	struct version *version;	/* of a head */
	struct host *whom;		/* of an eviction */
};

/* What a volume wants to keep in one slot. */
struct slot_lease {
	uint8_t key[2];			/* first: the slot, big-endian */
	uint16_t slot;
	uint64_t seq, acked;		/* the last one sent, and acknowledged */
	bool dirty, busy;		/* what is wanted is not what was acknowledged; one is under way */
	struct item **item;		/* all that the volume ever wanted in it */
	unsigned int items;
};

/* A head that somebody signed. */
struct version {
	struct version *next;
	uint64_t seq;
	struct address hash, previous;
	struct chunk *blob;
	struct writer *writer;
	bool acked, sent;
};

struct writer {
	struct volume *volume;
	struct host *host;
	uint64_t id, seq;		/* seq: of the head that it goes on from ... */
	struct address hash;		/* ... and its hash */
	bool known, busy;
};

struct volume {
	unsigned int number;
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET];
	struct address id;
	struct host *home;		/* by whom its leases are made */
	struct sorted slots;
	struct item **item;		/* all that it ever wanted */
	unsigned int items;
	struct writer writer[WRITERS];
	unsigned int writers;
	struct version *versions;	/* the newest first */
	uint64_t acked;			/* seq of the newest that was acknowledged */
	uint64_t promised;		/* the same, while too few disks were lost for it to be forgotten; else 0 */
	uint64_t *seen;			/* by host: the newest that its user was told */
	unsigned int seen_size;
	bool evidence;			/* somebody was told of two heads */
	const struct host *finder;	/* of the first who was: on his machine */
	unsigned int hits, losses;	/* disks of owners lost since a majority had the newest; ever */
};

struct load {
	struct dice dice;
	struct request *request;
	unsigned int requests, waiting, places;
	unsigned int evictions;			/* that are to be asked for again */
	uint64_t tickets;
	struct volume *volume;
	unsigned int volumes;
	bool running;
	struct load_figures figures;
	size_t latency_size;
};

/** request_new(w, h, kind, timeout): to be filled in, then request_send(w, r, c). */
struct request *request_new(struct world *w, struct host *h, enum command_kind kind, uint64_t timeout);
void request_send(struct world *w, struct request *r, struct command *c);

/* chunks of users: users.c; leases: leases.c; heads: writers.c */
void insert_reply(struct world *w, struct request *r, const struct effect *e);
void fetch_reply(struct world *w, struct request *r, const struct effect *e);
void confirm_reply(struct world *w, struct request *r, const struct effect *e);
void user_insert(struct world *w);
void user_fetch(struct world *w);
void user_confirm(struct world *w);

void leases_open(struct world *w, struct volume *v);
void leases_close(struct volume *v);
void lease_want(struct volume *v, struct item *i);
void lease_drop(struct world *w, struct volume *v);		/* no longer wants one of its items, at random */
void lease_send(struct world *w, struct volume *v, struct slot_lease *s);
bool lease_some(struct world *w, struct volume *v);		/* sends one that is due; false: none is */
void lease_reply(struct world *w, struct request *r, const struct effect *e);
void lease_gone(struct request *r);

void writers_open(struct world *w, struct volume *v);
void writers_close(struct volume *v);
void writer_swap(struct world *w, struct volume *v);		/* one of them */
void writers_last(struct world *w, struct volume *v);	/* all of them go on from the newest: where there is evidence, none may */
void reader_head(struct world *w, struct volume *v, bool final);
void head_reply(struct world *w, struct request *r, const struct effect *e);
void swap_reply(struct world *w, struct request *r, const struct effect *e);
void writer_gone(struct request *r);
void writers_wiped(struct world *w, const struct host *h);
void writers_stopped(struct world *w, const struct host *h);	/* its process has ended */
void writers_lost(struct world *w, const struct host *h);	/* the disk of ${h} is about to be */
void writers_row_lost(struct world *w, const struct host *h, uint8_t table, const struct address *volume);	/* so is a row of it */

#endif
