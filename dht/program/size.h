/* size: numbers of bytes as people write and read them, in powers of 1024. */
#ifndef DHT_PROGRAM_SIZE_H
#define DHT_PROGRAM_SIZE_H

#include <stdint.h>

#define SIZE_TEXT_LEN 16	/* bytes, with the NUL */

/** size_parse(text, out): "10G", "512M", "1.5T", "4KiB", "4096": bytes, either case, rounded down
 * to a byte.  0; -EINVAL; -ERANGE over INT64_MAX. */
int size_parse(const char *text, uint64_t *out);

/** size_format(bytes, text): "4.0 KiB", "10.3 GiB", "17 B"; returns ${text}. */
char *size_format(uint64_t bytes, char text[SIZE_TEXT_LEN]);

#endif
