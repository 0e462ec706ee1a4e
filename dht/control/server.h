/* server: answers dhtctl on a Unix socket in the store, for whichever program runs on it. */
#ifndef DHT_CONTROL_SERVER_H
#define DHT_CONTROL_SERVER_H

struct call_program;
struct server;

/** server_start(program, store, out): listen on ${store}/control (mode 0600); a stale socket is replaced (the
 * store's lock is ours).  Each connection has a thread of its own, at most 16.  Keeps ${program}.  0 or -errno. */
int server_start(const struct call_program *program, const char *store, struct server **out);

/** server_stop(s): ends all connections (their commands are stopped) and removes the socket. */
void server_stop(struct server *s);

#endif
