#include "dht/control/store.h"

void record_space(struct record *r, const struct dht_status *s)
{
	record_number(r, "chunks", s->chunks);
	record_number(r, "raw_bytes", s->raw_bytes);
	record_number(r, "stored_bytes", s->stored_bytes);
	record_number(r, "segments", s->segments);
	record_number(r, "space_limit_bytes", s->space.limit);
	record_number(r, "space_used_bytes", s->space.used);
	record_number(r, "space_available_bytes", s->space.available);
	record_number(r, "set_aside", s->set_aside);
	record_number(r, "inserts", s->inserts);
	record_number(r, "inserts_known", s->inserts_known);
	record_number(r, "lookups", s->lookups);
	record_number(r, "queued", s->queued);
}

void record_progress(struct record *r, const struct dht_progress *p)
{
	record_number(r, "done_bytes", p->done);
	record_number(r, "total_bytes", p->total);
	record_number(r, "chunks", p->chunks);
	record_number(r, "bad", p->bad);
}

bool call_tell(void *call, const struct dht_progress *p)
{
	struct call *c = call;

	record_progress(&c->record, p);
	return call_answer(c, FRAME_PROGRESS) == 0 && channel_gone(&c->channel) == 0;
}
