/* limits: what bounds a node's memory and work.  Each has its reason; each is tested at the limit (tests/unit/test_limits). */
#ifndef DHT_NET_LIMITS_H
#define DHT_NET_LIMITS_H

#define MS 1000u
#define S  (1000u * MS)

#define MEMBERS_MAX	     4096u	/* records in a view, tombstones too: 4 x the size that it is made for */
#define LINKS_MAX	     128u	/* open at a time, as dialled by us; idle ones beyond are closed, oldest use first */
#define LINKS_ACCEPTED_MAX   1024u	/* those that came to us: every other member of a ring of 1000 */
#define DIALS_MAX	     16u	/* under way at a time: each may hold a thread of name lookup */
#define DIAL_TIMEOUT	     (5 * S)
#define DIAL_AGAIN_MIN	     (500 * MS)	/* after a failed dial; doubled each time, with jitter ... */
#define DIAL_AGAIN_MAX	     (60u * S)	/* ... up to this */
#define LINK_IDLE	     (120u * S)	/* without a message but pings */

#define CALLS_MAX	     4096u	/* requests of ours, under way and waiting, at all peers */
#define CALLS_PEER_MAX	     32u	/* under way at one peer; the others wait in line */
#define CALLS_REPAIR_MAX     8u		/* of them: repair, rebalance, audit */
#define CALL_TIMEOUT	     (10 * S)	/* of a request for or with a chunk: 256 KiB at 30 kB/s */
#define CALL_QUICK	     (2 * S)	/* of one without */
#define SERVED_PEER_MAX	     64u	/* requests of one peer that we work on; beyond: WIRE_BUSY */
#define SERVED_MAX	     1024u	/* of all peers */

#define COMMANDS_MAX	     1024u	/* of our own user: he waits above (the mount has bounds of its own) */
#define COMMAND_TIMEOUT_MAX  (3600u * S)
#define DISK_MAX	     4096u	/* effects on the disk under way */
#define MOVES_MAX	     64u	/* foreign records on their way to owners at a time */
#define REPAIRS_MAX	     4u		/* pairs that are reconciled at a time */

#define PROBE_EVERY	     (1 * S)	/* SWIM: one member each, in a shuffled round */
#define PROBE_TIMEOUT	     (500 * MS)
#define PROBE_INDIRECT	     3u
#define GOSSIP_EVERY	     (200 * MS)	/* while there is something to say */
#define GOSSIP_FANOUT	     3u
#define EXCHANGE_EVERY	     (30u * S)
#define SUSPICION_FACTOR     4u		/* x log10(members) seconds, at least 2 s */
#define HEALTH_MAX	     8u		/* Lifeguard's local health multiplier */
#define SPARE_AFTER	     (900u * S)	/* down that long: the next on the walk makes spares */
#define SPARE_DOWN_MAX	     4u		/* none while more than 1/4 of the members are down */

#define REPAIR_EVERY	     (600u * S)
#define AUDIT_EVERY	     (10 * S)	/* an owner checks one record at one other owner */
#define DELETE_AFTER	     (24u * 3600u * (uint64_t)S)	/* of our own uptime since the last touch or put */
#define HEDGE_SHARE	     5u		/* per cent of reads that may ask a second owner early */

#endif
