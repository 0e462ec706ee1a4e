/* dhtfs: from the command line to a mount that serves, and back. */
#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dht/program/log.h"
#include "dht/program/process.h"
#include "fs/fs.h"
#include "fs/loop.h"
#include "fs/ops.h"
#include "fs/options.h"
#include "fs/place.h"
#include "fs/remount.h"
#include "fs/session.h"
#include "fs/settle.h"
#include "fs/watchdog.h"

#define THREADS		4	/* that read requests; none of them waits for anything */
#define WHY_SIZE	1024

static void log_fuse(enum fuse_log_level level, const char *format, va_list args)
{
	char text[2048], *line, *rest = text;

	vsnprintf(text, sizeof(text), format, args);
	while ((line = strsep(&rest, "\n"))) {
		if (*line)
			log_line((int)level, "%s", line);
	}
}

static struct fs *open_interruptibly(const struct options *o)
{
	char why[WHY_SIZE];
	struct fs *fs;

	process_end_at_once("not mounted");
	if (fs_open(o, &fs, why, sizeof(why)) < 0)
		log_line(LOG_ERR, "%s", why);
	process_end_orderly();
	return fs;
}

/*
 * The mount is at its end, and late answers may still come, from threads that fs_close() ends.
 * fuse_session_unmount() would close the device under them, and the number of its descriptor
 * could be a segment's by the time they write.  So the number is kept until then, for a pipe
 * that nobody reads: what is written there fails, as does whatever the kernel still asks, so
 * that the unmount (of a mount that is in use yet) waits for nobody.  And polling it gives
 * POLLERR, by which libfuse knows later that there is nothing left to unmount.
 */
static void let_go(struct fuse_session *session, char *mountpoint)
{
	char *argv[] = { (char[]){ "fusermount3" }, (char[]){ "-uqz" }, (char[]){ "--" }, mountpoint,
		NULL };
	struct pollfd device = { .fd = fuse_session_fd(session) };
	bool unmounted = poll(&device, 1, 0) == 1 && device.revents & POLLERR;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		log_line(LOG_WARNING, "a pipe: %s", strerror(errno));
	} else {
		dup3(ends[1], device.fd, O_CLOEXEC);
		close(ends[0]);
		close(ends[1]);
	}
	if (unmounted || umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno != EPERM)
		return;
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0)
		waitpid(pid, NULL, 0);
}

static int serve(struct fs *fs)
{
	const struct options *o = fs->options;
	int r;

	/* libfuse, and fusermount3, say what is wrong themselves. */
	if (fuse_session_mount(fs->session, o->mountpoint) != 0)
		return -EIO;
	r = session_custom_io(fs->session);
	session_read_ahead(o->mountpoint);
	watchdog_watch(o->mountpoint);
	if (r < 0) {
		log_line(LOG_ERR, "could not take over the session: %s", strerror(-r));
	} else {
		process_ready();
		log_line(LOG_INFO, "mounted %s with store %s", o->mountpoint, o->store);
		r = loop_run(fs->session, fs->gate, o->mountpoint, THREADS);
		if (r < 0)
			log_line(LOG_ERR, "could not serve: %s", strerror(-r));
	}
	let_go(fs->session, o->mountpoint);
	return r;
}

static int run(const struct options *o)
{
	struct fuse_args args = { .argc = o->fuse_argc, .argv = o->fuse_args };
	struct fs *fs = open_interruptibly(o);
	struct fuse_session *session;
	int r, closed;

	if (!fs)
		return EXIT_FAILURE;
	session = fuse_session_new(&args, &fs_ops, sizeof(fs_ops), fs);
	fuse_opt_free_args(&args);
	fs->session = session;
	r = session ? serve(fs) : -EINVAL;

	if (r == 0)
		settle(fs);
	closed = fs_close(fs);
	if (closed < 0)
		log_line(LOG_CRIT, "%s: not everything that was written could be kept: %s",
		    o->mountpoint, strerror(-closed));
	else if (r == 0)
		log_line(LOG_INFO, "unmounted %s", o->mountpoint);
	/* Requests hold the session until their answer. */
	if (session) {
		fuse_session_unmount(session);
		fuse_session_destroy(session);
	}
	return r < 0 || closed < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options o;
	sigset_t set;
	int r;

	log_open("dhtfs", false);
	process_begin();
	r = options_parse(argc, argv, &o);
	if (r == 0 && o.remount) {
		r = remount(&o);
		options_free(&o);
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	if (r != 0 || place_check(&o) < 0) {
		options_free(&o);
		return r > 0 ? EXIT_SUCCESS : r < 0 ? 2 : EXIT_FAILURE;
	}
	log_open("dhtfs", o.debug);
	process_serve();
	fuse_set_log_func(log_fuse);
	if (!o.foreground)
		process_background();
	r = watchdog_start(o.mountpoint);
	if (r < 0)
		log_line(LOG_WARNING, "no watchdog for the mount: %s", strerror(-r));
	process_block_signals(&set);
	r = run(&o);
	options_free(&o);
	return r;
}
