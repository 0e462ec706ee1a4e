/* Giving back to the disk what no chunk takes. */
#include "dht/store_impl.h"

#include <errno.h>

int store_clean(struct store *s, bool urgent, dht_tell *tell, void *arg, struct dht_gc_count *out)
{
	(void)urgent;
	(void)tell;
	(void)arg;
	*out = (struct dht_gc_count){ .chunks = 0 };
	return s->read_only ? -EROFS : 0;
}
