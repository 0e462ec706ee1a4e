/* limits: what bounds a node's memory and work.  Each has its reason; each is tested at the limit (test_limits*, or with its machine). */
#ifndef DHT_NET_LIMITS_H
#define DHT_NET_LIMITS_H

#include <stdint.h>

#define MS UINT64_C(1000)	/* us, of 64 bits: an hour and a bit would not fit 32 */
#define S  (1000 * MS)

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
#define PEERS_MAX	     (2 * MEMBERS_MAX)	/* known by id; beyond, only members: 1 kB each */
#define PEER_KEEP	     (600u * S)	/* peers that we have nothing to do with are forgotten; longer than any call */
#define WRONG_FORGIVE	     (600u * S)	/* a wrong answer of two is forgiven */
#define DIFFERS_EVERY	     (1 * S)	/* exchanges of records with one peer, because its placement is another one */

#define CALLS_MAX	     4096u	/* requests of ours, under way and waiting, at all peers */
#define CALLS_PEER_MAX	     32u	/* under way at one peer; the others wait in line */
#define CALLS_REPAIR_MAX     8u		/* of them: repair, rebalance, audit */
#define CALL_TIMEOUT	     (10 * S)	/* of a request for or with a chunk: 256 KiB at 30 kB/s */
#define CALL_QUICK	     (2 * S)	/* of one without */
#define SERVED_PEER_MAX	     64u	/* requests of one peer: twice CALLS_PEER_MAX; beyond: WIRE_BUSY */
#define SERVED_WORK_MAX	     16u	/* of them with long answers, by one link, in work; the others wait in line: 4 MiB of chunks */
#define SERVED_YIELD	     (15 * MS)	/* a read for repair waits while others read, so long at most: of one peer, CALLS_REPAIR_MAX in that, 35 MB/s */
#define SERVED_CALM	     (3 * MS)	/* who reads asks for more that soon: of several owners each has one of his reads at times */
#define SERVED_LINE_BYTES    768u	/* of a request that may wait in line: 64 paths of a trie, and 64 of them leave credit */
#define UNREAD_MAX	     (8u << 20)	/* answers to a link that is full: twice SERVED_WORK_MAX chunks; beyond, it is closed */
#define UNREAD_ALL_MAX	     (128u << 20)	/* of all such links: half of what SERVED_MAX chunks are; beyond, the one with most is closed */
#define SERVED_MAX	     1024u	/* of all peers */
#define SERVED_SHARE	     4u		/* who has some may have this part of what is free: of 28 greedy ones 32 each, and 128 stay free */

#define COMMANDS_MAX	     1024u	/* of our own user: he waits above (the mount has bounds of its own) */
#define COMMAND_TIMEOUT_MAX  (3600u * S)
#define DISK_MAX	     4096u	/* effects on the disk under way */
#define DISK_LINE_MAX	     4096u	/* and in line; beyond: -EBUSY.  So many are left only by those who gave up waiting: it hangs */
#define WORK_REFUSED	     (100 * MS)	/* beyond, the end comes so late: who asks again at once does not spin */
#define MOVES_MAX	     64u	/* foreign records on their way to owners at a time */
#define MOVES_BYTES	     (8u << 20)	/* of them in memory, and no other is begun: two seconds of a slow link */
#define FOREIGN_WINDOW	     1024u	/* foreign records whose owners are asked at a time: WIRE_ADDRESSES_MAX fill a message */
#define FOREIGN_TOUCHES	     64u	/* peers that are asked about them at a time: half of LINKS_MAX */
#define FOREIGN_GATHER	     (500 * MS)	/* new ones are gathered that long, so that one message asks for many */
#define FOREIGN_FRESH	     (1 * S)	/* who lacked one longer ago may have it from repair: he is asked again, once, before he is sent the bytes */
#define FOREIGN_YIELD	     16u	/* while so many of our user's inserts wait for W, proofs of what is foreign, which cost all a read and a hash, wait ... */
#define FOREIGN_PATIENCE     (20 * S)	/* ... but no longer */
#define FOREIGN_AGAIN_MIN    (5 * S)	/* what could not be placed is tried again; doubled while nothing moves ... */
#define FOREIGN_AGAIN_MAX    (600u * S)	/* ... up to this */
#define FOREIGN_BLOCKED	     64u	/* peers that records wait for, by name; beyond: any that comes is tried */
#define INSERT_ASKS	     16u	/* nodes that an insert asks at a time: R owners, and as many in their place */
#define INSERT_TOUCHES	     64u	/* addresses of inserts that one message asks about: those that come in a round trip */
#define INSERT_GATHER	     (20 * MS)	/* ... or in this, where that takes longer */
#define INSERT_LINGER	     64u	/* answered inserts that wait for their last owners; each holds a chunk */
#define INSERTS_MAX	     (COMMANDS_MAX + INSERT_LINGER)	/* answered ones that our own disk has not stored yet among them */
#define FETCH_ASKS	     3u		/* of one fetch, under way at a time */
#define FETCH_SPARES	     16u	/* nodes behind the owners on the walk that are asked before giving up: a cut leaves spares that far */
#define FETCH_LINGER	     256u	/* delivered fetches whose other request still runs: its age is the peer's cost */
#define HEALS_MAX	     16u	/* bad local copies that are fetched anew at a time */
#define AGAIN_MIN	     (250 * MS)	/* asked again after WIRE_BUSY, another placement, a cut link; doubled ... */
#define AGAIN_MAX	     (2 * S)	/* ... up to this */
#define REPAIRS_MAX	     4u		/* pairs that are reconciled at a time */
#define REPAIR_TURN	     (600u * S)	/* who was compared for so long gives way to one that is due: what came stays */
#define REPAIR_WANTS	     2048u	/* chunks that we know to lack; the rest is found again: it covers a second at 2000/s */
#define REPAIR_PULLS	     64u		/* of them under way: 16 MiB in memory at most, 4 as a rule; those that come meanwhile share a sync of the disk */
#define REPAIR_READS	     4096u	/* of the catalogue for tries in one event: some milliseconds */
#define REPAIR_STACK	     (17u * 1024)	/* places of a trie that are still to be looked at, per pair: 64 asked x 16 x 16 depths */
#define REPAIR_FRUITLESS     65536u	/* of them, looked at for nothing: all slots, and what is above them, three times */
#define REPAIR_SERVED	     64u	/* peers' questions that wait for our own trie; beyond: WIRE_BUSY ... */
#define REPAIR_SERVED_PEER   4u		/* ... of one peer: a comparison, a spare's list, and one each that it gave up */
#define REPAIR_LEASES	     32u	/* slots of a pair whose leases are fetched at a time: likewise */

#define PROBE_EVERY	     (1 * S)	/* SWIM: one member each, in a shuffled round */
#define PROBE_TIMEOUT	     (500 * MS)
#define PROBE_INDIRECT	     3u
#define GOSSIP_EVERY	     (200 * MS)	/* while there is something to say */
#define GOSSIP_FANOUT	     3u
#define EXCHANGE_EVERY	     (30u * S)
#define EXCHANGE_YOUNG	     12u	/* the first so many six times as often: until it has links, gossip may miss a node */
#define SUSPICION_FACTOR     4u		/* x log10(members) seconds, at least 2 s */
#define HEALTH_MAX	     8u		/* Lifeguard's local health multiplier */
#define SUSPICION_CONFIRMATIONS 3u	/* independent ones after which it is as short as it gets (Lifeguard's K) */
#define SUSPICION_LEAST	     (2 * S)	/* the shortest: time for the suspected to hear of it and to say no */
#define SUSPICION_ASK	     (1 * S)	/* before its end: a dial and a ping of our own */
#define SUSPICION_ECHO	     (3 * S)	/* doubts about one that was heard meanwhile go round for so long, and don't count */
#define RELAYS_MAX	     32u	/* pings on others' behalf at a time: ten times what is usual; beyond: no detour here */
#define GOSSIP_BYTES	     4096u	/* of records with a ping or gossip: about 14 of them */
#define GOSSIP_FACTOR	     4u		/* x decimal digits of the number of members, 2 at least: how often one thing is told */
#define GOSSIP_SENT_MAX	     (GOSSIP_FACTOR * 4)	/* of MEMBERS_MAX members */
#define GOSSIP_DOWN_MAX	     64u	/* members that are down, told with an exchange */
#define MAINTENANCE_MAX	     64u	/* members under maintenance at a time */
#define MAINTENANCE_LONGEST  (24u * 3600u)	/* seconds; so that a liar does not stop spares for ever */
#define EXCHANGE_BATCH	     120u	/* records asked for at a time: fit WIRE_BLOBS_MAX, and the allowance of control */
#define EXCHANGE_NEWS	     16u	/* so few that one exchange brought are gossiped on: others lack them too */
#define EXCHANGE_PULL	     (5 * S)	/* for a batch; then another peer's turn */
#define JOIN_COMPLAIN	     (30u * S)	/* between two lines in the log on there being nobody who knows the ring */
#define REFUTE_EVERY	     (500 * MS)	/* our own new records: a liar's doubts cost one signature each */
#define INCARNATION_BLOCK    64u	/* reserved on disk at a time: a refutation does not wait for the disk */
#define INCARNATION_LEAP     (1u << 20)	/* beyond a record of ours that we don't know: more than any life of ours refuted */
#define SELF_LEAPS	     4u		/* lives of ours that a lost row may have hidden */
#define SELF_WAITING_MAX     8u		/* commands that wait for our row */
#define SELF_FAREWELL	     (60u * S)	/* who left, and starts again, waits so long for somebody to tell it to */
#define SELF_ENDING_MAX	     (5 * S)	/* our end is gossiped for so long at most */
#define PLACEMENT_GATHER     (200 * MS)	/* changes that come together make one table */
#define PLACEMENTS_MAX	     4u		/* earlier tables: reads look there, too; 0.5 MB each at 1000 */
#define PLACEMENT_LINGER     (600u * S)	/* they are kept so long, also when our own slots are complete: others may be behind */
#define PLACEMENT_WALK_MAX   64u	/* members that anyone asks for on one walk */
#define COMPLETE_GATHER	     (1 * S)	/* slots that become complete together make one row */
#define SAVES_MAX	     16u	/* rows of members being written at a time */
#define SAVE_AGAIN	     (30 * S)	/* after a row could not be written */
#define SPARE_AFTER	     (900u * S)	/* down that long: the next on the walk makes spares */
#define SPARE_LOOK	     (60u * S)	/* who is down that long is looked at so often */
#define SPARE_AGAIN	     (3600u * S)	/* what came meanwhile is copied too: its writer has one until then */
#define SPARE_SLOT_MAX	     65536u	/* addresses that one owner lists of one slot: 4 GiB of its word alone */
#define SPARE_DOWN_MAX	     4u		/* none while more than 1/4 of the members are down */

#define REPAIR_EVERY	     (600u * S)
#define REPAIR_AGAIN	     (30u * S)	/* where not all was got; busy peers sooner; doubled each time ... */
#define REPAIR_AGAIN_MAX     (120u * S)	/* ... up to this while a slot waits for it; else up to REPAIR_EVERY */
#define REPAIR_RECONNECT     (2 * S)	/* a pair is compared within this of a new link: not all at once after a cut */
#define HANDOVER_ASK	     (1 * S)	/* a slot's old owner asks its new ones whether they are complete: then, doubled ... */
#define HANDOVER_POLL	     (30 * S)	/* ... up to this while nothing comes of it ... */
#define HANDOVER_PUSH	     (900u * S)	/* ... and after this gives them what they lack all the same */
#define SOURCE_ASK	     (10 * S)	/* who did not have all of a slot is asked again by then */
#define SOURCE_LOOK	     (120 * S)	/* for someone who has all of a slot is waited so long while no member is down ... */
#define SOURCE_WAIT	     (2 * HANDOVER_PUSH)	/* ... and so long else: by then all that anyone has was pushed */
#define RELABEL_BATCH	     64u	/* records whose state is changed at a time */
#define AUDIT_EVERY	     (10 * S)	/* an owner checks one record at one other owner */
#define DELETE_AFTER	     (24u * 3600u * S)	/* of our own uptime since the last touch or put */
#define DELETE_EPOCH	     (6u * 3600u * S)	/* touches are remembered by these ... */
#define DELETE_EPOCHS	     6u		/* ... so many of them: between 30 and 36 hours (deletion.h) */
#define DELETE_EVERY	     (1 * S)	/* a step of the walk over the records ... */
#define DELETE_WALK	     1024u	/* ... looks at so many: a million in 17 minutes */
#define DELETE_REST	     (3600u * S)	/* between two walks */
#define DELETE_FRESH	     (60u * S)	/* what other owners told of their leases holds so long: a slot's records are walked in less */
#define DELETE_ASK	     (DELETE_FRESH / 4)	/* one owner has so long to tell them: of 3, one may waste it, of 8, three */
#define DELETES_MAX	     64u	/* under way at a time */
#define TOUCHED_MAX	     (22u << 20)	/* bytes to remember the touches of one epoch: 11 million, 530 a second; beyond, all is kept */
#define LEASE_ADDRESSES_MAX  65536u	/* in one slot of one volume: 64 TiB a volume; 2 MiB to collect */
#define LEASE_LOOK	     256u	/* addresses new in a lease that are looked at, whether they are here: a millisecond */
#define LEASE_VOLUMES_MAX    1024u	/* with a lease in one slot: counted when one comes anew */
#define LEASE_WARN_EVERY     (60u * S)	/* between two lines in the log on leases of one number: a peer may send them without end */
#define LEASES_COLLECTED_MAX 8u		/* leases of more than one part that come in at a time: 16 MiB */
#define LEASES_HELD_MAX	     (1u << 20)	/* addresses of leases on their way to the disk: 32 MiB */
#define LEASES_PULLED_MAX    (1u << 18)	/* addresses of leases that are fetched from other owners: 8 MiB; others wait, but for the first */
#define LEASE_ALONG	     16u	/* addresses that go along with the list of a slot's only lease: 512 bytes; the blob has 230 */
#define LEASES_SENT_MAX	     256u	/* leases on their way to owners, for commands ... */
#define LEASES_RESENT_MAX    8u		/* ... and those that some owner still lacks */
#define LEASES_AGAIN_MIN     (5 * S)	/* what an owner lacks is sent again; doubled while nothing moves ... */
#define LEASES_AGAIN_MAX     (600u * S)	/* ... up to this */
#define LEASES_PULL_MAX	     (300u * S)	/* for those of one slot, of one peer: four of the greatest at 30 kB/s; what came stays */
#define LEASES_SWEPT	     256u	/* slots a step, when a volume has ended or a table is new */
#define SHARES_MAX	     32768u	/* who brought how many volumes of which slot: 1.3 MB */
#define RETIRED_MAX	     65536u	/* ended volumes: tombstones, 200 bytes of disk each */
#define RETIRE_ASKS	     16u	/* members that are told of an end at a time */
#define HEAD_HISTORY	     64u	/* heads of a volume that are kept, to prove a fork: half an hour of steady writing; 16 KB */
#define HEAD_VOLUMES_MAX     1024u	/* with a head in one slot */
#define HEAD_SEEN_MAX	     65536u	/* volumes whose newest head our own user asked for, or wrote: 16 KB of disk each at most */
#define HEAD_LINGER	     64u	/* answered commands whose last owners are still awaited */
#define HEAD_CHANGES_MAX     4096u	/* rows of heads on their way to the disk, or in line: commands beyond are -EBUSY */
#define HEAD_PULLS_MAX	     8u		/* nodes that are asked what heads they have of slots new to us, at a time */
#define HEAD_PULLED_MAX	     1024u	/* nodes whose answers are remembered meanwhile: 6 KB each */
#define HEAD_WINDOW	     1024u	/* slots a message: their bits fit FIELD_HAVE */
#define HEAD_WALK	     16u	/* members on the walk that may have been owners, when we know of nobody better */
#define HEADS_AGAIN_MAX	     (30u * S)	/* between two rounds of questions, while some owner of before is missed; sooner when one comes */
#define HEDGE_SHARE	     5u		/* per cent of reads that may ask a second owner early ... */
#define HEDGE_FREE	     4u		/* ... but this many in any case: a node that has just started knows no latency */
#define HEDGE_UNKNOWN	     (100 * MS)	/* when a peer never answered a read yet */
#define HEDGE_MIN	     (2 * MS)	/* no second request sooner: timers and disks are not finer */

#endif
