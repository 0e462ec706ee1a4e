/*
 * peerkit: peers of one ring in one process, with real sockets on loopback and stores in folders of their own.
 * What is waited for is waited for with a bound; the test fails when it does not come.
 */
#ifndef TESTS_PEERKIT_H
#define TESTS_PEERKIT_H

#include <pthread.h>

#include "dht/peer/peer.h"

#define PEERKIT_MAX	8u
#define PEERKIT_WAIT_MS 60000u

struct peerkit_peer {
	struct peer *peer;		/* NULL: closed */
	struct store *store;
	char dir[256], listen[64], join[64];
	bool keeps_nothing;
	const struct ring_file *file, *older;	/* NULL: the kit's; none */
};

struct peerkit {
	char dir[200];
	struct ring_file file;
	struct peerkit_peer peer[PEERKIT_MAX];
	char why[512];
	pthread_mutex_t lock;
	char log[65536];		/* all that peers said; under the lock */
	size_t log_len;
	int stop_result;		/* likewise: of the last that has stopped by itself */
};

/** peerkit_begin(k): no peer runs.  peerkit_end(k): all are closed, and their folders removed. */
void peerkit_begin(struct peerkit *k);
void peerkit_end(struct peerkit *k);

/** peerkit_open(k, i): as peer_open() said.  Peer ${i} listens on peer[i].listen, by default a free port of 127.0.0.${i}+1,
 * and joins peer[i].join, by default none for 0, and peer 0 for the others; "-": none. */
int peerkit_open(struct peerkit *k, unsigned int i);
void peerkit_must_open(struct peerkit *k, unsigned int i);
void peerkit_close(struct peerkit *k, unsigned int i);

/** peerkit_address(k, i, out): what its record says: "host:port".  peerkit_stay(k, i): it listens there when it is opened again, too. */
void peerkit_address(struct peerkit *k, unsigned int i, char out[64]);
void peerkit_stay(struct peerkit *k, unsigned int i);

/** peerkit_ring(k, n): ${n} peers that know each other.  peerkit_settle(k, members): until all that run have one view, of so many.
 * peerkit_complete(k, members): until they also have all that they should have. */
void peerkit_ring(struct peerkit *k, unsigned int n);
void peerkit_settle(struct peerkit *k, unsigned int members);
void peerkit_complete(struct peerkit *k, unsigned int members);

/** peerkit_until(k, over, arg): until over(arg) is true. */
void peerkit_until(bool (*over)(void *arg), void *arg, const char *what);

/** peerkit_stop_result(k): of the last that has stopped by itself: another may be stopping now. */
int peerkit_stop_result(struct peerkit *k);

/** peerkit_said(k, text): does a line of the log have it? */
bool peerkit_said(struct peerkit *k, const char *text);
void peerkit_until_said(struct peerkit *k, const char *text);

struct peer_status peerkit_status(struct peerkit *k, unsigned int i);

/** peerkit_insert(k, i, c, acks, out), peerkit_fetch(k, i, a): as COMMAND_INSERT and _FETCH, waited for. */
int peerkit_insert(struct peerkit *k, unsigned int i, struct chunk *c, unsigned int acks, struct address *out);
int peerkit_fetch(struct peerkit *k, unsigned int i, const struct address *a, struct chunk **out);

/** peerkit_chunk(seed, len): bytes that only ${seed} decides. */
struct chunk *peerkit_chunk(uint64_t seed, size_t len);

#endif
