#include "dht/codecs.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "chunker/codec.h"
#include "dht/peer/packed.h"

/* Those that rest; as many are made as threads unpack at a time. */
struct rest {
	struct rest *next;
	struct codec *codec;
};

struct codecs {
	pthread_mutex_t lock;
	struct rest *rest;
};

struct codecs *codecs_new(void)
{
	struct codecs *p = calloc(1, sizeof(*p));

	if (p)
		pthread_mutex_init(&p->lock, NULL);
	return p;
}

void codecs_free(struct codecs *p)
{
	struct rest *r;

	if (!p)
		return;
	while ((r = p->rest)) {
		p->rest = r->next;
		codec_free(r->codec);
		free(r);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct rest *borrow(struct codecs *p)
{
	struct rest *r;

	pthread_mutex_lock(&p->lock);
	r = p->rest;
	if (r)
		p->rest = r->next;
	pthread_mutex_unlock(&p->lock);
	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	if (r)
		r->codec = codec_new();
	if (r && r->codec)
		return r;
	free(r);
	return NULL;
}

static void give_back(struct codecs *p, struct rest *r)
{
	pthread_mutex_lock(&p->lock);
	r->next = p->rest;
	p->rest = r;
	pthread_mutex_unlock(&p->lock);
}

int codecs_raw(struct codecs *p, struct chunk *packed, struct chunk **out)
{
	struct rest *r = borrow(p);
	int rc = -ENOMEM;

	*out = NULL;
	if (r) {
		rc = packed_open(r->codec, packed, out);
		give_back(p, r);
	}
	return rc;
}
