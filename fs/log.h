/* log: one line for a person, to stderr in the foreground and to syslog in the background. */
#ifndef FS_LOG_H
#define FS_LOG_H

#include <stdbool.h>
#include <syslog.h>

/** log_open(background, debug): where lines go from now on; LOG_DEBUG lines only with ${debug}. */
void log_open(bool background, bool debug);

/** log_line(priority, format, ...): without a newline at the end.  Thread-safe. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** log_text(arg, priority, text): the form that dht_options wants; ${arg} is not used. */
void log_text(void *arg, int priority, const char *text);

#endif
