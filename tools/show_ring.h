/* show_ring: what a node of a ring answers, for a person. */
#ifndef TOOLS_SHOW_RING_H
#define TOOLS_SHOW_RING_H

#include <stddef.h>
#include <stdint.h>

/** show_ring_status(b, len): the part of a status that is about the ring; nothing where it is no node of one. */
void show_ring_status(const uint8_t *b, size_t len);

/* A line each; of the first a heading too. */
void show_peer(const uint8_t *b, size_t len);
void show_ring(const uint8_t *b, size_t len);
void show_where(const uint8_t *b, size_t len);

/** show_volume(b, len): its public key, alone in its line, and how it is. */
void show_volume(const uint8_t *b, size_t len);

void show_repaired(const uint8_t *b, size_t len);
void show_path(const uint8_t *b, size_t len);

#endif
