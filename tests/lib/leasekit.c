#include "tests/lib/leasekit.h"

#include <assert.h>
#include <stdlib.h>

uint64_t leasekit_start(struct netkit *k, unsigned int at, const struct volumekit *v, uint64_t seq, const struct address *a,
    unsigned int count, uint64_t timeout)
{
	struct command c = { .kind = COMMAND_LEASE, .addresses = a, .count = count, .timeout = timeout };
	uint64_t ticket;

	c.blob = volumekit_lease(v, v->slot, seq, a, count);
	ticket = netkit_command(k, at, &c);
	chunk_drop(c.blob);
	return ticket;
}

static struct address *made_up(const struct volumekit *v, unsigned int first, unsigned int count)
{
	struct address *a = malloc((count + 1) * sizeof(*a));

	assert(a);
	volumekit_addresses(v->slot, first, count, a);
	return a;
}

uint64_t leasekit_start_some(struct netkit *k, unsigned int at, const struct volumekit *v, uint64_t seq, unsigned int first,
    unsigned int count, uint64_t timeout)
{
	struct address *a = made_up(v, first, count);
	uint64_t ticket = leasekit_start(k, at, v, seq, a, count, timeout);

	free(a);
	return ticket;
}

int leasekit_result(struct netkit *k, uint64_t ticket, uint64_t within)
{
	const struct effect *e;

	for (uint64_t waited = 0; !netkit_reply(k, ticket) && waited <= within; waited += 10 * MS)
		netkit_run(k, 10 * MS);
	e = netkit_reply(k, ticket);
	assert(e);
	return e->result;
}

int leasekit_make(struct netkit *k, unsigned int at, const struct volumekit *v, uint64_t seq, unsigned int first,
    unsigned int count)
{
	return leasekit_result(k, leasekit_start_some(k, at, v, seq, first, count, 10 * S), 11 * S);
}

void leasekit_put(struct netkit *k, unsigned int i, const struct volumekit *v, uint64_t seq, const struct address *a,
    unsigned int count)
{
	struct catalogue_lease l = { .volume = v->id, .slot = (uint16_t)v->slot, .seq = seq, .addresses = a, .count = count };
	struct effect e = { .kind = EFFECT_LEASE, .lease = &l };
	struct event done;

	l.blob = volumekit_lease(v, v->slot, seq, a, count);
	memory_catalogue_apply(&k->node[i].disk, &e, &done);
	assert(done.result == 0);
	chunk_drop(l.blob);
}

void leasekit_put_some(struct netkit *k, unsigned int i, const struct volumekit *v, uint64_t seq, unsigned int first,
    unsigned int count)
{
	struct address *a = made_up(v, first, count);

	leasekit_put(k, i, v, seq, a, count);
	free(a);
}

uint64_t leasekit_stored(struct netkit *k, unsigned int i, const struct volumekit *v, unsigned int *first, unsigned int *count)
{
	static const struct address zeros;
	struct catalogue *c = &k->node[i].disk.catalogue;
	struct chunk *blob = c->lease(c, &v->id, v->slot);
	struct address *a = malloc((LEASE_ADDRESSES_MAX + 1) * sizeof(*a));
	struct lease l = { .seq = 0 };
	size_t got;

	assert(a);
	got = c->lease_list(c, &v->id, v->slot, &zeros, LEASE_ADDRESSES_MAX + 1, a);
	if (blob) {
		assert(lease_read(blob->data, blob->len, &v->ring, &l) == 0);
		assert(lease_check(&l, a, (uint32_t)got) == 0);
	}
	if (first)
		*first = got > 0 ? (unsigned int)a[0].b[7] | (unsigned int)a[0].b[6] << 8 : 0;
	if (count)
		*count = (unsigned int)got;
	chunk_drop(blob);
	free(a);
	return l.seq;
}

uint64_t leasekit_seq(struct netkit *k, unsigned int i, const struct volumekit *v)
{
	return leasekit_stored(k, i, v, NULL, NULL);
}

static void pulled(struct node *n, struct lease_pull *p, int result)
{
	struct leasekit_pull *x = (struct leasekit_pull *)p;

	(void)n;
	x->over = true;
	x->result = result;
}

void leasekit_pull_start(struct netkit *k, unsigned int at, unsigned int from, unsigned int slot, struct leasekit_pull *x)
{
	struct node *n = k->node[at].node;

	x->pull = (struct lease_pull){ .peer = peer_find(n, &k->node[from].id), .slot = (uint16_t)slot, .done = pulled };
	x->over = false;
	n->now = k->now;
	leases_pull(n, &x->pull);
	/* Something for it to do, so that what it wants done is carried out. */
	netkit_command(k, at, &(struct command){ .kind = COMMAND_HEAD, .timeout = 1 });
}

void leasekit_pull_end(struct netkit *k, struct leasekit_pull *x)
{
	for (unsigned int i = 0; i < 1000 && !x->over; i++)
		netkit_run(k, 10 * MS);
	assert(x->over);
}
