/* joining: from settings to what a peer is opened with: the ring files are read, defaults are filled in. */
#ifndef DHT_PEER_JOINING_H
#define DHT_PEER_JOINING_H

#include "dht/peer/peer.h"
#include "dht/peer/settings.h"

struct joining {
	struct peer_options options;	/* leads into the rest, and into the settings: both outlive its use */
	struct ring_file ring, older;
	const char *none[1];
};

/**
 * joining_init(j, s, bytes, why, why_size): of a node whose store may take ${bytes}.  Store, folder and log are the caller's to set.
 * As settings_ring() for errors.
 */
int joining_init(struct joining *j, const struct settings *s, uint64_t bytes, char *why, size_t why_size);

/** joining_wait(j, p): who was told whom to join is a member soon: until then, or for JOINING_WAIT_MS; whoever started the program finds it among
 * the others then.  False: not yet; it goes on trying. */
#define JOINING_WAIT_MS 3000u
bool joining_wait(const struct joining *j, struct peer *p);

/** joining_wipe(j): its secrets, when the peer is open. */
void joining_wipe(struct joining *j);

#endif
