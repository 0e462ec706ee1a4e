#include "dht/program/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_LEN 4096	/* bytes; what is longer is cut: a path and an address fit */

static const char *program = "dhtfs";
static atomic_bool to_syslog;
static atomic_bool with_debug;

void log_open(const char *name, bool debug)
{
	program = name;
	atomic_store(&with_debug, debug);
}

void log_background(void)
{
	openlog(program, LOG_PID, LOG_DAEMON);
	atomic_store(&to_syslog, true);
}

const char *log_name(void)
{
	return program;
}

/* File names come from people and from strangers: none may start a line or move a cursor. */
static void defuse(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

void log_text(void *arg, int priority, const char *text)
{
	char line[LINE_MAX_LEN];
	int len;

	(void)arg;
	if (priority == LOG_DEBUG && !atomic_load(&with_debug))
		return;
	len = snprintf(line, sizeof(line) - 1, "%s: %s", program, text);
	if (len < 0)
		return;
	defuse(line);
	if (atomic_load(&to_syslog)) {
		syslog(priority, "%s", line + strlen(program) + 2);
		return;
	}
	/* One write a line, so that lines of two threads, or of two processes, never mix. */
	len = (int)strlen(line);
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return;
}

void log_line(int priority, const char *format, ...)
{
	char text[LINE_MAX_LEN];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_text(NULL, priority, text);
}
