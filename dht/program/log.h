/* log: one line for a person, to stderr in the foreground and to syslog in the background. */
#ifndef DHT_PROGRAM_LOG_H
#define DHT_PROGRAM_LOG_H

#include <stdbool.h>
#include <syslog.h>

/** log_open(name, debug): before all else: ${name} begins each line, and is kept; LOG_DEBUG lines only with ${debug}. */
void log_open(const char *name, bool debug);

/** log_background(): lines go to syslog from now on.  log_name(): as given. */
void log_background(void);
const char *log_name(void);

/** log_line(priority, format, ...): without a newline at the end.  Thread-safe. */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** log_text(arg, priority, text): the form that dht_options wants; ${arg} is not used. */
void log_text(void *arg, int priority, const char *text);

#endif
