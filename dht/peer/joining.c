#include "dht/peer/joining.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "dht/net/ringfile.h"

static const char *const *list(struct joining *j, const struct settings_list *l)
{
	return l->item ? (const char *const *)l->item : j->none;
}

/* Only the secret may differ: with another ring's file, that ring's members would be let in. */
static int read_older(struct joining *j, const char *path, char *why, size_t why_size)
{
	struct address ring, older;
	int rc = settings_ring(path, &j->older, why, why_size);

	if (rc < 0)
		return rc;
	ring_file_hash(&j->ring, &ring);
	ring_file_hash(&j->older, &older);
	if (address_equal(&ring, &older))
		return 0;
	snprintf(why, why_size, "--ring-old %s is of another ring than --ring: give the file with this ring's older secret, as "
	    "'dhtctl ring rotate' left it", path);
	return -EINVAL;
}

int joining_init(struct joining *j, const struct settings *s, uint64_t bytes, char *why, size_t why_size)
{
	int rc;

	memset(j, 0, sizeof(*j));
	rc = settings_ring(s->ring, &j->ring, why, why_size);
	if (rc == 0 && s->ring_old)
		rc = read_older(j, s->ring_old, why, why_size);
	if (rc < 0) {
		joining_wipe(j);
		return rc;
	}
	j->options = (struct peer_options){
		.ring = &j->ring, .older = s->ring_old ? &j->older : NULL,
		.listen = list(j, &s->listen), .advertise = list(j, &s->advertise), .join = list(j, &s->join),
		.zone = s->zone, .weight = settings_weight(s, bytes), .keeps_nothing = s->no_store, .volume_max = s->volume_max,
	};
	return 0;
}

bool joining_wait(const struct joining *j, struct peer *p)
{
	return !j->options.join[0] || peer_joined(p, JOINING_WAIT_MS);
}

void joining_wipe(struct joining *j)
{
	sodium_memzero(&j->ring, sizeof(j->ring));
	sodium_memzero(&j->older, sizeof(j->older));
}
