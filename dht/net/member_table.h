/* member_table: what member.c asks of a table of members (member.h tells what it is for). */
#ifndef DHT_NET_MEMBER_TABLE_H
#define DHT_NET_MEMBER_TABLE_H

#include "dht/net/member.h"

/** member_table_find(t, bytes, len): the member of just these bytes, or NULL.  Takes no hold.
 * member_table_add(t, m): it is not there yet; no hold either. */
struct member *member_table_find(const struct member_table *t, const uint8_t *bytes, size_t len);
void member_table_add(struct member_table *t, struct member *m);
void member_table_remove(struct member_table *t, struct member *m);

#endif
