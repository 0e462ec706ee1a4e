/* golden: bytes that must not change, and that dht/PROTOCOL.md must show.  What is wrong ends the test. */
#ifndef TESTS_LIB_GOLDEN_H
#define TESTS_LIB_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

/** golden_is(name, bytes, len, hex): are these the golden bytes, and does PROTOCOL.md have them?  Prints what they are if not. */
void golden_is(const char *name, const void *bytes, size_t len, const char *hex);

/** golden_bytes(hex, out, size): how many bytes. */
size_t golden_bytes(const char *hex, uint8_t *out, size_t size);

/** golden_text(text): PROTOCOL.md must have it, but for white space. */
void golden_text(const char *text);

#endif
