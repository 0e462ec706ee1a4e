/*
 * restore: a volume whose machine was lost, made anew from the ring with its exported key.
 *
 *	the newest head --> its snapshot --> directories, node by node --> STORE/restoring/tree
 *	all that the snapshot, and the kept ones before it, need --> dht_keep() (claim.h)
 *	STORE/restoring/tree --> STORE/tree, then the key --> STORE/volume.key, then STORE/restoring goes
 *
 * Files' content stays where it is.  While STORE/restoring is there, nothing of the rest counts: it is begun anew.
 */
#ifndef FS_RESTORE_H
#define FS_RESTORE_H

#include <stddef.h>

#include "dht/dht.h"
#include "fs/options.h"

/**
 * restore_volume(o, dht, why, why_size): the volume of the key in the file o->settings.volume is that of the store from now on.  Tells
 * how far it is on stderr.  1: it is restored, and dht_volume() has been called; 0: it was there already.  With ${why} for a person:
 * -EEXIST: the store has a tree of its own; -ENOENT: it never had a head; -ENODATA: nobody has some directory of it;
 * -EHOSTUNREACH, -ETIMEDOUT, -EUCLEAN, -EKEYREVOKED, -ENOSPC ...
 */
int restore_volume(const struct options *o, struct dht *d, char *why, size_t why_size);

/** restore_unfinished(store): was it begun in that store, and not ended? */
bool restore_unfinished(const char *store);

#endif
