/* rebalance: what its two files share.  Part of node_impl.h's world. */
#ifndef DHT_NET_REBALANCE_H
#define DHT_NET_REBALANCE_H

#include "dht/net/repair_impl.h"

/** rebalance_over(n): nothing lies here that is ours to keep: all is with its owners. */
bool rebalance_over(struct node *n);

/** rebalance_kept(n, slot): we have held it since we lost it.  Also of a slot that a new table gives back, as long as rebalance is
 * not told of that table: repair is first (machines.c). */
bool rebalance_kept(struct node *n, unsigned int slot);

void leave_start(struct node *n);	/* leave.c */
void leave_end(struct node *n);

#endif
