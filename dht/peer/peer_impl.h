/*
 * peer_impl: what the files of a peer share: peer.c (open, close), loop.c (events in, effects out), conn.c (a connection), dial.c, listen.c,
 * tables.c, ask.c (commands from other threads).
 *
 * All but what says otherwise belongs to the loop's thread.
 */
#ifndef DHT_PEER_PEER_IMPL_H
#define DHT_PEER_PEER_IMPL_H

#include <stdatomic.h>
#include <syslog.h>
#include <uv.h>

#include "dht/net/door.h"
#include "dht/net/limits.h"
#include "dht/peer/bridge.h"
#include "dht/peer/disk.h"
#include "dht/peer/identity.h"
#include "dht/peer/listen.h"
#include "dht/peer/peer.h"

#define CONN_BUCKETS 256u	/* several hundred connections: a few each */
#define ASK_BUCKETS  1024u	/* COMMANDS_MAX, whose tickets count up: one each */
#define READ_BUFFER  (256u << 10)	/* four of the longest frames, so that few are torn */
#define REFUSED_EVERY (10 * S)	/* a line in the log about strangers and liars, at most */
#define FILES_KEPT   16u	/* descriptors that connections leave to the disk */

struct listener;

struct peer {
	/* Constant once the loop runs. */
	struct identity *identity;
	struct ring_file file, older;
	bool has_older;
	bool keeps_nothing, kept_nothing;	/* now; when it last ran */
	bool forgot;			/* what it noted of the ring is gone, and no member has told it anything since */
	char *dir;
	struct shelf *shelf;
	struct disk *disk;
	void (*log)(void *arg, int priority, const char *text);
	void (*stopped)(void *arg, int result, const char *why);
	void *arg;
	pthread_t thread;
	uv_sem_t started;
	struct advertised advertised;
	int files_max;			/* descriptors that we may have */

	struct bridge bridge;		/* any thread */
	pthread_mutex_t ask_lock;	/* of the states of asks */
	atomic_bool alone;
	pthread_mutex_t joined_lock;
	pthread_cond_t joined_cond;
	bool joined;			/* another member is known; under the joined_lock */
	struct bridge_job closing_job;
	pthread_mutex_t spare_lock;
	struct list spare_jobs;		/* of the disk's answers to come; under the spare_lock */

	uv_loop_t loop;
	uv_prepare_t prepare;
	uv_timer_t timer;
	uint64_t wake_ms;		/* what the timer is set to; UINT64_MAX: not at all */
	struct node *node;
	bool closing, halted;
	bool lost;			/* the shelf can't be read: what the node wants may follow from that */
	bool told_joined;
	bool ended;			/* the loop has, and its thread */

	struct link_pool pool;
	struct aead *aead;		/* of all links */
	struct door door;
	struct list conns, dirty;
	struct conn *bucket[CONN_BUCKETS];
	uint32_t next_conn;
	unsigned int sockets;
	uint8_t *buffer;		/* what is being read, by whichever connection */
	struct list dials;
	struct listener *listeners;
	unsigned int listening;

	struct list table_jobs;
	struct ring **table;		/* that the node was given and has not given back */
	unsigned int tables, tables_size;

	struct list asked[ASK_BUCKETS];	/* commands in the core */
	uint64_t next_ticket, part_ticket;	/* part: of the command that takes a drained node back in; 0: none */

	uint64_t refused, refused_told, refused_next, accept_next;
	uint64_t bytes_in, bytes_out;
	char stop_text[PEER_WHY];
};

/** part_taken(p): the node takes its part again, durably: what kept it out is forgotten. */
void part_taken(struct peer *p);

/** peer_now(): the node's clock: us. */
uint64_t peer_now(void);

/** peer_log(p, priority, format, ...): a line in the log. */
void peer_log(struct peer *p, int priority, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** peer_refuse(p, who, why): a stranger or a liar was sent away: counted, and said, but not a thousand times. */
void peer_refuse(struct peer *p, const char *who, const char *why);

/** peer_input(p, e): one event to the node, now.  peer_turn(p): what it wants done. */
void peer_input(struct peer *p, const struct event *e);
void peer_turn(struct peer *p);

/** loop_init(p), loop_main(p): the handles of the loop; its thread, which ends when peer_close() wants it to. */
int loop_init(struct peer *p);
void *loop_main(void *p);

/** loop_end(p): when its thread has ended, or never was. */
void loop_end(struct peer *p);

/** asks_reply(p, e): EFFECT_REPLY.  asks_end(p): all that is asked is answered with -ECANCELED. */
void asks_init(struct peer *p);
void asks_reply(struct peer *p, const struct effect *e);
void asks_end(struct peer *p);

/** tables_build(p, e): EFFECT_TABLE.  tables_back(p, table): EFFECT_TABLE_FREE.  tables_free(p): those that the node kept. */
void tables_build(struct peer *p, const struct effect *e);
void tables_back(struct peer *p, struct ring *table);
void tables_free(struct peer *p);

/** loop_disk_done(p, e): what the disk tells, from any thread. */
void loop_disk_done(void *p, struct event *e);

#endif
