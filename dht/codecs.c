#include "dht/codecs.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "chunker/codec.h"
#include "dht/net/wire.h"

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
	struct wire_chunk w;
	struct rest *r;
	uint8_t *raw;
	int rc = wire_chunk_read(packed->data, packed->len, &w);

	*out = NULL;
	if (rc < 0)
		return rc;
	if (w.codec == CODEC_RAW) {
		*out = chunk_slice(packed, WIRE_CHUNK_HEAD, w.raw_len);
		return *out ? 0 : -ENOMEM;
	}
	r = borrow(p);
	*out = r ? chunk_new(w.raw_len, &raw) : NULL;
	rc = *out ? codec_inflate(r->codec, w.stored.data, w.stored.len, raw, w.raw_len) : -ENOMEM;
	if (r)
		give_back(p, r);
	if (rc < 0) {
		chunk_drop(*out);
		*out = NULL;
	}
	return rc;
}
