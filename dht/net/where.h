/* where: the reply of COMMAND_WHERE: who is to have an address, and who has it.  Pure. */
#ifndef DHT_NET_WHERE_H
#define DHT_NET_WHERE_H

#include <stdbool.h>

#include "chunker/address.h"
#include "chunker/chunk.h"

enum where_state {
	WHERE_PROVED = 1,	/* it has what we have, or it is us */
	WHERE_SAYS = 2,		/* it says so; we have no copy to compare with */
	WHERE_LACKS = 3,
	WHERE_WRONG = 4,	/* it has something else, and says that it is this */
	WHERE_SILENT = 5,	/* no answer in time */
	WHERE_DOWN = 6,		/* it can't be reached */
	WHERE_CACHED = 7,	/* us: a copy that may go when space is wanted */
};

struct where_line {
	struct address id;
	bool owner;		/* else one of those that are next, or that only has it */
	enum where_state state;
};

/** where_read(blob, i, out): line ${i}, in the order of the walk.  False: there are no more. */
bool where_read(const struct chunk *blob, unsigned int i, struct where_line *out);

#endif
