/* What all parts of a store use: its log, its scratch memory, its entries. */
#include "dht/store_impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>


void store_say(struct store *s, int priority, const char *format, ...)
{
	char text[512];
	va_list args;

	if (!s->log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	s->log(s->log_arg, priority, text);
}

struct scratch *scratch_borrow(struct store *s)
{
	struct scratch *x;

	pthread_mutex_lock(&s->scratch_lock);
	x = s->scratch;
	if (x)
		s->scratch = x->next;
	pthread_mutex_unlock(&s->scratch_lock);
	if (x)
		return x;
	x = malloc(sizeof(*x));
	if (!x)
		return NULL;
	x->codec = codec_new();
	if (!x->codec) {
		free(x);
		return NULL;
	}
	return x;
}

void scratch_return(struct store *s, struct scratch *x)
{
	pthread_mutex_lock(&s->scratch_lock);
	x->next = s->scratch;
	s->scratch = x;
	pthread_mutex_unlock(&s->scratch_lock);
}

void entry_count(struct store *s, const struct recent *e, int sign)
{
	int good = e->record.bad ? 0 : sign, old = e->counted ? sign : 0;

	s->more_chunks += good - old;
	s->more_raw += (int64_t)good * e->record.raw_len - (int64_t)old * e->counted_raw;
	s->more_stored += (int64_t)good * e->record.stored_len - (int64_t)old * e->counted_stored;
}

struct recent *entry_for(struct store *s, const struct record *r, const struct record *in_ledger)
{
	struct recent *e = recents_find(&s->recents, &r->address);
	struct record condemned;

	if (e) {
		entry_replace(s, e, r);
		return e;
	}
	/* What the caller was not told of is counted all the same. */
	if (gc_condemns(s, &r->address) && ledger_get(s->ledger, &r->address, &condemned) == 0)
		in_ledger = &condemned;
	e = recents_add(&s->recents, r);
	if (!e)
		return NULL;
	if (in_ledger && !in_ledger->bad) {
		e->counted = true;
		e->counted_raw = in_ledger->raw_len;
		e->counted_stored = in_ledger->stored_len;
	}
	entry_count(s, e, 1);
	return e;
}

void entry_replace(struct store *s, struct recent *e, const struct record *r)
{
	if (e->state == RECENT_DURABLE) {
		s->durable_count--;
		s->durable_bytes -= e->record.stored_len;
	}
	list_remove(&e->place);
	entry_count(s, e, -1);
	e->record = *r;
	entry_count(s, e, 1);
}

void entry_durable(struct store *s, struct recent *e)
{
	e->state = RECENT_DURABLE;
	recents_hold(&s->recents, e, NULL);
	list_append(&s->durable, &e->place);
	s->durable_count++;
	s->durable_bytes += e->record.stored_len;
	if (s->durable_count >= s->commit_records || s->durable_bytes >= COMMIT_BYTES)
		pthread_cond_signal(&s->commit_wanted);
}

void entry_astray(struct store *s, struct recent *e)
{
	e->state = RECENT_ASTRAY;
	list_append(&s->astray, &e->place);
	s->astray_count++;
}

int store_enter(struct store *s, const struct record *r)
{
	struct record old;
	int rc = store_look(s, &r->address, &old);
	/* An entry that can't be read was counted as the same chunk. */
	struct recent *e = entry_for(s, r, rc == 0 ? &old : rc == -EBADMSG ? r : NULL);

	if (!e)
		return -ENOMEM;
	entry_durable(s, e);
	return 0;
}

void store_status(struct store *s, struct dht_status *out)
{
	struct ledger_totals t;
	uint64_t lookups = __atomic_load_n(&s->counts.lookups, __ATOMIC_RELAXED);

	ledger_totals(s->ledger, &t);
	pthread_mutex_lock(&s->lock);
	*out = (struct dht_status){
		.chunks = t.chunks + (uint64_t)s->more_chunks,
		.raw_bytes = t.raw_bytes + (uint64_t)s->more_raw,
		.stored_bytes = t.stored_bytes + (uint64_t)s->more_stored,
		.set_aside = t.set_aside,
		.inserts = s->counts.inserts,
		.inserts_known = s->counts.inserts_known,
		.lookups = lookups,
	};
	for (struct list *l = s->durable.next; l != &s->durable; l = l->next)
		out->set_aside += list_item(l, struct recent, place)->record.bad;
	for (size_t i = 0; i < segments_count(s->segments); i++)
		out->dead_bytes += segment_dead(s, segments_at(s->segments, i));
	pthread_mutex_unlock(&s->lock);
	out->segments = segments_count(s->segments);
	store_space(s, &out->space);
}
