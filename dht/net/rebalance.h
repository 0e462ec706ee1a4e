/* rebalance: what its two files share.  Part of node_impl.h's world. */
#ifndef DHT_NET_REBALANCE_H
#define DHT_NET_REBALANCE_H

#include "dht/net/repair_impl.h"

/** rebalance_over(n): nothing lies here that is ours to keep: all is with its owners. */
bool rebalance_over(struct node *n);

void leave_start(struct node *n);	/* leave.c */
void leave_end(struct node *n);

#endif
