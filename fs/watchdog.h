/*
 * watchdog: a process beside the mount's, which ends the kernel's connection where the mount's can't.
 *
 * A process that is killed lets go of /dev/fuse, and the kernel then fails all that waits for it.
 * But one of its threads may wait in the kernel for dirty pages of its own mount to be written
 * back (ops_lseek() calls them in): nobody will ever write them, so that thread never ends, /dev/fuse
 * stays open, and everybody who uses the mount waits for ever.
 */
#ifndef FS_WATCHDOG_H
#define FS_WATCHDOG_H

/**
 * watchdog_start(mountpoint): before the first thread, after the last other fork, by the thread that lasts as
 * long as the process.  It ends with this process.  0 or -errno: without one all works, but for the above.
 */
int watchdog_start(const char *mountpoint);

/** watchdog_watch(mountpoint): the mount is there.  Asks the filesystem nothing. */
void watchdog_watch(const char *mountpoint);

#endif
