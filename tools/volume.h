/* volume: the export of a volume's key. */
#ifndef TOOLS_VOLUME_H
#define TOOLS_VOLUME_H

#include <stdbool.h>

/** volume_export(store, path, yes): the key of the store's volume into the new file ${path} (mode 0600), after a word on what it is worth; without
 * ${yes} somebody at a terminal has to agree.  The exit status. */
int volume_export(const char *store, const char *path, bool yes);

#endif
