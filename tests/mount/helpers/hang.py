"""hang: each operation while a commit of the tree waits for a disk that hangs.
hang.py MOUNT STALL_DIR: the mount's process runs with stall.so.  Prints "pass NAME" and "fail NAME".

Whatever waits is killed, and has to be gone in BOUND_S.  In the end the disk goes on, and what was
killed while it waited has not happened."""
import ctypes
import errno
import fcntl
import mmap
import os
import signal
import subprocess
import sys
import time

mnt, stall_dir = sys.argv[1:]
BOUND_S = 2
SETTLE_S = 10
STALLED = os.path.join(stall_dir, "tree.fdatasync")
libc = ctypes.CDLL(None, use_errno=True)


def result(good, name, why=""):
    print("pass" if good else "fail", name, flush=True)
    if not good and why:
        print(why, flush=True)


def path(name):
    return os.path.join(mnt, name)


def until(condition, bound_s):
    end = time.monotonic() + bound_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Child:
    def __init__(self, function):
        self.status = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                function()
                code = 0
            except OSError as e:
                code = e.errno or 1
            finally:
                os._exit(code)

    def gone(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status is not None

    def state(self):
        """In the kernel, and since when it has had a processor last."""
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
                fields = f.read().rpartition(")")[2].split()
            with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
                switches = [line for line in f if "ctxt_switches" in line]
        except OSError:
            return None
        return (fields[0], switches) if fields[0] in "SD" else None

    def waits(self):
        """It sleeps, and does so without a break."""
        before = self.state()
        if before is None:
            return False
        time.sleep(0.1)
        return self.state() == before


def settled(child):
    return child.gone() or child.waits()


def killed(name, function, waits=True):
    """${waits}: it must wait; False: it must not; None: it may."""
    child = Child(function)
    if not until(lambda: settled(child), SETTLE_S):
        result(False, name, "it neither ends nor waits")
    elif child.gone():
        result(waits is not True and os.waitstatus_to_exitcode(child.status) == 0, name,
               f"it did not wait: {child.status}")
        return
    elif waits is False:
        result(False, name, "it waits")
    os.kill(child.pid, signal.SIGKILL)
    if until(child.gone, BOUND_S):
        if waits is not False:
            result(True, name)
        return
    with open(f"/proc/{child.pid}/stack", encoding="ascii") as f:
        stack = f.read()
    result(False, name, f"it is there {BOUND_S} s after SIGKILL\n{stack}")


def call(result_):
    if result_ < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


def fallocate(fd, mode, off, length):
    call(libc.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(length)))


def write_file(name, data=b"old"):
    with open(path(name), "wb") as f:
        f.write(data)


def rewrite_and_close():
    fd = os.open(path("known"), os.O_WRONLY)
    os.write(fd, b"new")
    os.close(fd)


def map_and_sync():
    with mmap.mmap(fds["written"], 4096) as m:
        m[:3] = b"new"
        m.flush()


NAMES = ["known", "unlinked", "renamed", "linked", "moded", "owned", "timed", "cut", "emptied",
         "attributed", "read", "written", "sought", "from", "to", "closed", "flushed", "unknown"]
for n in NAMES:
    write_file(n, os.urandom(100000))
os.mkdir(path("directory"))
os.mkdir(path("removed"))
os.symlink("target", path("symlink"))
os.setxattr(path("attributed"), "user.old", b"old")
os.sync()
subprocess.run(["sync", mnt], check=True)

# What the kernel knows it does not ask for: it forgets all, and is told of some again.
with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as drop:
    drop.write("3")
for n in NAMES[:-1] + ["directory", "removed"]:
    os.stat(path(n))
fds = {n: os.open(path(n), os.O_RDWR)
       for n in ("cut", "timed", "read", "written", "sought", "from", "to", "closed", "flushed")}
directory = os.open(mnt, os.O_RDONLY | os.O_DIRECTORY)
with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as drop:
    drop.write("1")

with open(STALLED, "w", encoding="ascii"):
    pass
# One that has written before, and has it open.
os.write(fds["flushed"], b"new")
os.chmod(path("known"), 0o640)
result(until(lambda: os.path.exists(STALLED + ".waits"), SETTLE_S), "the disk hangs")

killed("read", lambda: os.pread(fds["read"], 100, 0), waits=False)
killed("lookup", lambda: os.stat(path("unknown")))
killed("lookup of what is not there", lambda: os.stat(path("nothing")))
killed("getattr", lambda: os.execvp("stat", ["stat", "--cached=never", path("known")]))
killed("open", lambda: os.open(path("known"), os.O_RDONLY))
killed("open with O_TRUNC", lambda: os.open(path("emptied"), os.O_WRONLY | os.O_TRUNC))
killed("create", lambda: os.open(path("created"), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
killed("mkdir", lambda: os.mkdir(path("made")))
killed("mkfifo", lambda: os.mkfifo(path("fifo")))
killed("symlink", lambda: os.symlink("a", path("symlinked")))
killed("link", lambda: os.link(path("linked"), path("link")))
killed("unlink", lambda: os.unlink(path("unlinked")))
killed("rmdir", lambda: os.rmdir(path("removed")))
killed("rename", lambda: os.rename(path("renamed"), path("moved")))
killed("readlink", lambda: os.readlink(path("symlink")))
killed("readdir", lambda: os.listdir(directory))
killed("getxattr", lambda: os.getxattr(path("attributed"), "user.old"))
killed("listxattr", lambda: os.listxattr(path("attributed")))
killed("setxattr", lambda: os.setxattr(path("attributed"), "user.new", b"new"))
killed("removexattr", lambda: os.removexattr(path("attributed"), "user.old"))
killed("address", lambda: os.getxattr(path("attributed"), "user.dhtfs.address"))
killed("chmod", lambda: os.chmod(path("moded"), 0o600))
killed("chown", lambda: os.chown(path("owned"), 1, 1))
killed("utimes", lambda: os.utime(path("timed"), (1, 1)))
killed("truncate", lambda: os.truncate(path("cut"), 1))
killed("ftruncate", lambda: os.ftruncate(fds["cut"], 2))
killed("statfs", lambda: os.statvfs(mnt))
killed("fallocate", lambda: fallocate(fds["cut"], 0, 200000, 1000))
killed("punching a hole", lambda: fallocate(fds["cut"], 3, 0, 4096))
killed("copy_file_range", lambda: os.copy_file_range(fds["from"], fds["to"], 4096, 0, 0))
killed("lseek SEEK_HOLE", lambda: os.lseek(fds["sought"], 0, os.SEEK_HOLE), waits=None)
killed("lseek SEEK_DATA of what is being written", lambda: (
    os.pwrite(fds["written"], b"new", 50000), os.lseek(fds["written"], 0, os.SEEK_DATA)),
    waits=None)
killed("fsync", lambda: os.fsync(fds["flushed"]))
killed("fdatasync", lambda: os.fdatasync(fds["flushed"]))
killed("fsync of a directory", lambda: os.fsync(directory))
killed("msync", map_and_sync)
killed("write and close", lambda: (os.write(fds["closed"], b"new"), os.close(fds["closed"])),
       waits=None)
killed("open, write and close", rewrite_and_close)

fcntl.flock(fds["from"], fcntl.LOCK_EX)
killed("flock", lambda: fcntl.flock(fds["from"], fcntl.LOCK_UN), waits=False)
killed("fcntl", lambda: fcntl.lockf(fds["to"], fcntl.LOCK_EX), waits=False)

# The disk goes on: so does everything, and what was killed has not happened.
os.unlink(STALLED)
result(sorted(os.listdir(mnt)) == sorted(NAMES + ["directory", "removed", "symlink", "by-hash"]),
       "the names are those that were there", str(os.listdir(mnt)))
result(os.listxattr(path("attributed")) == ["user.old"], "so are the attributes")
result(os.stat(path("moded")).st_mode & 0o777 == 0o644, "and the modes")
result(os.stat(path("cut")).st_size == 100000 == os.stat(path("emptied")).st_size, "and the sizes")
os.fsync(fds["flushed"])
result(os.pread(fds["flushed"], 3, 0) == b"new", "fsync works again")
subprocess.run(["sync", mnt], check=True)
result(True, "and so does that of a directory")

# Where the chunks' disk hangs the tree goes on in memory, which has a bound.
CHUNKS = os.path.join(stall_dir, "segment.fdatasync")
with open(CHUNKS, "w", encoding="ascii"):
    pass
write_file("new", os.urandom(100000))
result(until(lambda: os.path.exists(CHUNKS + ".waits"), SETTLE_S), "the disk of the chunks hangs")
killed("mkdir meanwhile", lambda: os.mkdir(path("meanwhile")), waits=False)


def change_without_end():
    for i in range(100000):
        os.mkdir(path(f"meanwhile/{i}"))
        os.setxattr(path(f"meanwhile/{i}"), "user.large", bytes(60000))


killed("changing more and more", change_without_end)
os.unlink(CHUNKS)
made = len(os.listdir(path("meanwhile")))
result(500 < made < 10000, f"{made} of them were made")
os.mkdir(path("meanwhile/later"))
subprocess.run(["sync", mnt], check=True)
result(True, "then it goes on")
