/* limits: what bounds a node's memory and work.  Each has its reason; each is tested at the limit (tests/unit/test_limits). */
#ifndef DHT_NET_LIMITS_H
#define DHT_NET_LIMITS_H

#define MS 1000u
#define S  (1000u * MS)

#define MEMBERS_MAX	     4096u	/* records in a view, tombstones too: 4 x the size that it is made for */
#define LINKS_MAX	     128u	/* open at a time, as dialled by us; for one more the idle one of oldest use is closed */
#define LINKS_ACCEPTED_MAX   1024u	/* those that came to us: every other member of a ring of 1000 */
#define DIALS_MAX	     16u	/* under way at a time: each may hold a thread of name lookup */
#define DIAL_TIMEOUT	     (5 * S)
#define DIAL_AGAIN_MIN	     (500 * MS)	/* after a failed dial; doubled each time, with jitter ... */
#define DIAL_AGAIN_MAX	     (60u * S)	/* ... up to this */
#define LINKS_PEER_MAX	     2u		/* of one peer: the one in use, and one that is emptied (both dialled at once) */
#define LINK_FRESH	     (5 * S)	/* two links that came up within this: both sides dialled; else the older one is dead */
#define LINK_RETIRE	     (2 * S)	/* quiet for so long, one that is emptied is closed */
#define HELD_MAX	     8u		/* messages of membership that wait for a peer's link */
#define PEER_KEEP	     (600u * S)	/* peers that we have nothing to do with are forgotten; longer than any call */
#define WRONG_FORGIVE	     (600u * S)	/* a wrong answer of two is forgiven */
#define DIFFERS_EVERY	     (1 * S)	/* exchanges of records with one peer, because its placement is another one */

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
#define MOVES_BYTES	     (8u << 20)	/* of them in memory: two seconds of a slow link */
#define FOREIGN_WINDOW	     1024u	/* foreign records whose owners are asked at a time: WIRE_ADDRESSES_MAX fill a message */
#define FOREIGN_TOUCHES	     64u	/* peers that are asked about them at a time: half of LINKS_MAX */
#define FOREIGN_GATHER	     (500 * MS)	/* new ones are gathered that long, so that one message asks for many */
#define FOREIGN_AGAIN_MIN    (5 * S)	/* what could not be placed is tried again; doubled while nothing moves ... */
#define FOREIGN_AGAIN_MAX    (600u * S)	/* ... up to this */
#define FOREIGN_BLOCKED	     64u	/* peers that records wait for, by name; beyond: any that comes is tried */
#define INSERT_ASKS	     16u	/* nodes that an insert asks at a time: R owners, and as many in their place */
#define INSERT_LINGER	     64u	/* answered inserts that wait for their last owners; each holds a chunk */
#define FETCH_ASKS	     3u		/* of one fetch, under way at a time */
#define FETCH_SPARES	     4u		/* nodes behind the owners on the walk that are asked before giving up */
#define FETCH_LINGER	     256u	/* delivered fetches whose other request still runs: its age is the peer's cost */
#define HEALS_MAX	     16u	/* bad local copies that are fetched anew at a time */
#define AGAIN_MIN	     (250 * MS)	/* asked again after WIRE_BUSY, another placement, a cut link; doubled ... */
#define AGAIN_MAX	     (2 * S)	/* ... up to this */
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
#define DELETE_EPOCH	     (6u * 3600u * (uint64_t)S)	/* touches are remembered by these ... */
#define DELETE_EPOCHS	     6u		/* ... so many of them: between 30 and 36 hours (deletion.h) */
#define DELETE_EVERY	     (1 * S)	/* a step of the walk over the records ... */
#define DELETE_WALK	     1024u	/* ... looks at so many: a million in 17 minutes */
#define DELETE_REST	     (3600u * (uint64_t)S)	/* between two walks */
#define DELETES_MAX	     64u	/* under way at a time */
#define TOUCHED_MAX	     (16u << 20)	/* bytes to remember an epoch's touches: 16 million; beyond, nothing is deleted */
#define LEASE_ADDRESSES_MAX  65536u	/* in one slot of one volume: 64 TiB a volume; 2 MiB to collect */
#define LEASE_VOLUMES_MAX    1024u	/* with a lease in one slot: counted when one comes anew */
#define LEASES_COLLECTED_MAX 8u		/* leases of more than one part that come in at a time: 16 MiB */
#define LEASES_HELD_MAX	     (1u << 20)	/* addresses of leases on their way to the disk: 32 MiB */
#define LEASES_SENT_MAX	     256u	/* leases on their way to owners, for commands ... */
#define LEASES_RESENT_MAX    8u		/* ... and those that some owner still lacks */
#define LEASES_AGAIN_MIN     (5 * S)	/* what an owner lacks is sent again; doubled while nothing moves ... */
#define LEASES_AGAIN_MAX     (600u * S)	/* ... up to this */
#define LEASES_SWEPT	     256u	/* slots a step, when a volume has ended or a table is new */
#define RETIRED_MAX	     65536u	/* ended volumes: tombstones, 200 bytes of disk each */
#define RETIRE_ASKS	     16u	/* members that are told of an end at a time */
#define HEAD_HISTORY	     64u	/* heads of a volume that are kept, to prove a fork: half an hour of steady writing; 16 KB */
#define HEAD_VOLUMES_MAX     1024u	/* with a head in one slot */
#define HEAD_PULLS_MAX	     8u		/* slots whose heads are asked of their owners before, at a time */
#define HEDGE_SHARE	     5u		/* per cent of reads that may ask a second owner early ... */
#define HEDGE_FREE	     4u		/* ... but this many in any case: a node that has just started knows no latency */
#define HEDGE_MIN	     (2 * MS)	/* no second request sooner: timers and disks are not finer */

#endif
