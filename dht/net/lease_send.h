/* lease_send: a lease on its way to its owners.  Private to lease.c and lease_send.c. */
#ifndef DHT_NET_LEASE_SEND_H
#define DHT_NET_LEASE_SEND_H

#include "dht/net/lease.h"

/* Of a row of ROW_LEASING: volume, hash of the lease, slot, number of those who have it; then their ids. */
#define ROW_HEAD_LEN (2 * ADDRESS_LEN + 3u)

enum sending_state { NOTING, STORING, PUSHING, WAITING, ENDING };

struct lane {				/* to one owner */
	struct sending *of;
	struct lease_push push;
	bool has;			/* it is there */
	bool full;			/* it has no room for one more volume */
	bool through;			/* it is, or nothing will ever make it so */
};

struct sending {
	struct list link;
	enum sending_state state;
	struct address volume;
	uint16_t slot;
	struct pending pending;
	uint64_t ticket;		/* of the command; 0: none, or it was answered */
	bool row;			/* a row tells of it */
	bool all;			/* ENDING: every owner has it */
	struct work work;
	struct timer timer;
	/* NOTING, STORING */
	struct lease lease;
	struct chunk *blob;
	struct address *addresses;
	struct lease_storing *storing;
	/* PUSHING on */
	struct lane lane[RING_REPLICAS_MAX];
	unsigned int lanes;
	struct address who[RING_REPLICAS_MAX];	/* have it, by the row or by themselves */
	unsigned int who_count;
	uint64_t wait;
	void (*done)(struct node *n, void *user, int result);	/* of lease_resend() */
	void *user;
};

struct lease_send {
	struct list all;
	unsigned int count, resent;
	struct timer timer;
	struct address cursor;
	bool walking, rows, any;	/* any: there may be rows.  rows: the walk met one */
	uint64_t wait;
};

/** sending_new(n, volume, slot): NULL: no memory.  sending_free().  sending_over(n, s, result): whoever waits is told, and it is freed. */
struct sending *sending_new(struct node *n, const struct address *volume, unsigned int slot);
void sending_free(struct node *n, struct sending *s);
void sending_over(struct node *n, struct sending *s, int result);
/** sending_find(n, volume, slot): the one under way; NULL: none. */
struct sending *sending_find(struct node *n, const struct address *volume, unsigned int slot);
/** sending_start(n, c, l): of a command, whose lease is ${l}, checked.  0, or why there is nothing to begin. */
int sending_start(struct node *n, const struct command *c, const struct lease *l);
/** sending_again(n, s): to all owners of now that lack it; ${s} may be over. */
void sending_again(struct node *n, struct sending *s);
bool sending_has(const struct sending *s, const struct address *id);
/** sending_row_read(row, volume, slot, hash): false: it is damaged. */
bool sending_row_read(const struct chunk *row, struct address *volume, uint16_t *slot, struct address *hash);

/** lease_resend_soon(n): one is over: there may be room, or a need, for others (lease.c). */
void lease_resend_soon(struct node *n);

#endif
