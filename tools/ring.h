/* ring: what dhtctl does with the files of a ring, and what it signs for one.  Each returns an exit status. */
#ifndef TOOLS_RING_H
#define TOOLS_RING_H

#include <stdbool.h>

#include "tools/ask.h"

/** ring_create(path, replicas, acks, open): a new ring into ${path}, its admin's key into ${path}.admin; neither is ever replaced.
 * 0: the usual number. */
int ring_create(const char *path, unsigned int replicas, unsigned int acks, bool open);

/** ring_rotate(path): a new secret; the file as it was is ${path}.old. */
int ring_rotate(const char *path);

/** ring_evict(o, command, key): have the member o->argument[0] out of the ring for ever, signed with the admin's key in the file ${key}. */
int ring_evict(const struct request *o, const struct command *command, const char *key);

/** ring_retire(o, command, key): end the volume whose public key is o->argument[0] for ever, signed with its exported key in the file ${key}. */
int ring_retire(const struct request *o, const struct command *command, const char *key);

#endif
