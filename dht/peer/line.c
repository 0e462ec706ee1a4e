#include "dht/peer/line.h"

#include <errno.h>
#include <stdlib.h>

int line_push(struct line *l, const struct waiting *w)
{
	if (l->count == l->size) {
		size_t size = l->size ? 2 * l->size : 256;
		struct waiting *item = malloc(size * sizeof(*item));

		if (!item)
			return -ENOMEM;
		for (size_t i = 0; i < l->count; i++)
			item[i] = l->item[(l->first + i) % l->size];
		free(l->item);
		*l = (struct line){ .item = item, .count = l->count, .size = size };
	}
	l->item[(l->first + l->count++) % l->size] = *w;
	return 0;
}

bool line_pop(struct line *l, struct waiting *out)
{
	if (l->count == 0)
		return false;
	*out = l->item[l->first];
	l->first = (l->first + 1) % l->size;
	if (--l->count == 0) {
		free(l->item);
		*l = (struct line){ .item = NULL };
	}
	return true;
}

void line_free(struct line *l)
{
	free(l->item);
	*l = (struct line){ .item = NULL };
}
