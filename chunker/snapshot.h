/* snapshot: an immutable record of a whole tree.  Pure. */
#ifndef CHUNKER_SNAPSHOT_H
#define CHUNKER_SNAPSHOT_H

#include "chunker/address.h"
#include "chunker/chunk.h"
#include "chunker/directory.h"

#define SNAPSHOT_NOTE_MAX 1024	/* bytes, UTF-8 or not, no NUL */
#define KEPT_LEN	  (16 + REF_LEN)	/* bytes of one record in the list of the kept */

/*
 * Chunk of KIND_SNAPSHOT, little-endian: "dhts", format 1, 3 zero bytes, le64 seconds and le32
 * nanoseconds (when it was taken), le16 note length, le16 zero, ref of the list of the kept
 * earlier ones, le32 length of the root's entry, that entry (directory.h, with the name "root"),
 * the note.  The list is a file of KEPT_LEN records, oldest first: le64 seconds, le32
 * nanoseconds, le32 zero, ref of the snapshot.
 */
struct snapshot {
	struct timestamp time;
	struct entry root;	/* a directory; its name is "root" */
	struct ref kept;	/* a file; the empty one where there are none */
	const char *note;
	uint16_t note_len;
};

/* One earlier snapshot that is kept. */
struct kept {
	struct timestamp time;
	struct ref ref;		/* KIND_SNAPSHOT */
};

/** snapshot_encode(s, out): 0 with a new chunk, held by the caller; -EINVAL where ${s} breaks a rule
 * above, or -ENOMEM. */
int snapshot_encode(const struct snapshot *s, struct chunk **out);

/** snapshot_decode(chunk, out): ${out} points into ${chunk}.  0 or -EBADMSG. */
int snapshot_decode(const struct chunk *chunk, struct snapshot *out);

/** kept_encode(k, out), kept_decode(in, out): one record of the list.  0 or -EBADMSG. */
void kept_encode(const struct kept *k, uint8_t out[KEPT_LEN]);
int kept_decode(const uint8_t in[KEPT_LEN], struct kept *out);

#endif
