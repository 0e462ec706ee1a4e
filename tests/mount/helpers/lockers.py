"""lockers: many processes that wait for locks and are killed while they do.
lockers.py MOUNT PID: ${PID} serves the mount, and has no part in it.  Prints "pass NAME" and "fail NAME"."""
import fcntl
import os
import signal
import struct
import sys
import time

mnt, daemon = sys.argv[1:]
F_OFD_SETLKW = 38
WAITERS = 40
BOUND_S = 5


def flock(fd):
    fcntl.flock(fd, fcntl.LOCK_EX)


def posix(fd):
    fcntl.lockf(fd, fcntl.LOCK_EX)


def ofd(fd):
    fcntl.fcntl(fd, F_OFD_SETLKW, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))


def result(good, name):
    print("pass" if good else "fail", name, flush=True)


def until(condition):
    end = time.monotonic() + BOUND_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def blocked():
    """How many wait for a lock, by the kernel's list of them."""
    with open("/proc/locks", encoding="ascii") as f:
        return sum("->" in line for line in f)


def child(path, lock, then):
    pid = os.fork()
    if pid == 0:
        try:
            lock(os.open(path, os.O_RDWR))
            then()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def ticks():
    with open(f"/proc/{daemon}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def gone(pids):
    """Those that have ended are reaped."""
    pids[:] = [p for p in pids if os.waitpid(p, os.WNOHANG)[0] == 0]
    return not pids


for lock in (flock, posix, ofd):
    name = lock.__name__
    path = os.path.join(mnt, name)
    with open(path, "w", encoding="ascii"):
        pass
    waited_before = blocked()
    ready, go = os.pipe(), os.pipe()

    def hold():
        os.write(ready[1], b"1")
        os.read(go[0], 1)

    holder = child(path, lock, hold)
    os.read(ready[0], 1)
    waiters = [child(path, lock, lambda: None) for _ in range(WAITERS)]
    result(until(lambda: blocked() - waited_before >= WAITERS), f"{name}: they wait")
    before = ticks()
    killed = waiters[: WAITERS // 2]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    result(until(lambda: gone(killed)), f"{name}: who is killed while it waits is gone")
    result(os.statvfs(mnt).f_bsize > 0 and ticks() - before <= 20, f"{name}: the mount is not kept busy")
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    left = waiters[WAITERS // 2:]
    result(until(lambda: gone(left)), f"{name}: the others get it one after the other")
    for pid in left:
        os.kill(pid, signal.SIGKILL)
