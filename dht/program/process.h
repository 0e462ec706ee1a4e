/* process: what a program that serves for long has to see to: descriptors, memory, the background, signals. */
#ifndef DHT_PROGRAM_PROCESS_H
#define DHT_PROGRAM_PROCESS_H

#include <signal.h>

/** process_begin(): first of all. */
void process_begin(void);

/** process_serve(): what is made from now on is nobody else's to read, and as many files may be open as the system lets us. */
void process_serve(void);

/**
 * process_background(): before any thread, for threads do not survive a fork: the parent waits, and exits as process_ready(),
 * or our end, tells it.  Until then the child keeps the terminal for its messages, and ends with its parent (who types ^C
 * means both).
 */
void process_background(void);

/** process_ready(): it works: let the parent and the terminal go; whoever started us (NOTIFY_SOCKET, as
 * systemd has it) is told too. */
void process_ready(void);

/** process_block_signals(set): those by which we are told to end; for all threads that are made from now on. */
void process_block_signals(sigset_t *set);

/**
 * process_end_at_once(what): from now on these signals, which are blocked, end the process as a crash does, after a line in
 * the log that says ${what}: opening a store whose index must be rebuilt can take minutes, and survives that by design.
 * process_end_orderly(): no longer.
 */
void process_end_at_once(const char *what);
void process_end_orderly(void);

#endif
