/* control: answers dhtctl on a Unix socket in the store. */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

struct control;
struct fs;

/** control_start(fs, out): listen on STORE/control (mode 0600); a stale socket is replaced (the
 * store's lock is ours).  Each connection has a thread of its own, at most 16.  0 or -errno. */
int control_start(struct fs *fs, struct control **out);

/** control_stop(c): ends all connections (their commands are stopped) and removes the socket. */
void control_stop(struct control *c);

#endif
