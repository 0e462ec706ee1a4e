"""locks: flock and fcntl locks between processes.  locks.py DIRECTORY."""
import fcntl
import os
import signal
import struct

import cases
from cases import error, opened, same, write


def beside(function):
    """function() in another process, while this one goes on holding what it holds."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except BaseException as e:
            print(e)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def case_flock(d):
    """flock keeps another process out until it is released"""
    write("f")

    def refused():
        with opened("f", os.O_RDWR) as fd, error("EWOULDBLOCK"):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def granted(kind=fcntl.LOCK_EX):
        with opened("f", os.O_RDWR) as fd:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)

    with opened("f", os.O_RDWR) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        same(beside(refused), 0)
        fcntl.flock(fd, fcntl.LOCK_SH)
        same(beside(refused), 0)
        same(beside(lambda: granted(fcntl.LOCK_SH)), 0)
        fcntl.flock(fd, fcntl.LOCK_UN)
        same(beside(granted), 0)
        fcntl.flock(fd, fcntl.LOCK_EX)
    same(beside(granted), 0)


def case_ranges(d):
    """fcntl locks keep others out of a range, and tell who holds it"""
    write("f", bytes(100))

    def beside_locked():
        with opened("f", os.O_RDWR) as fd:
            with error("EAGAIN", "EACCES"):
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 15)
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 20)
            asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, start, length, pid = struct.unpack(
                "hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, asked))
            same((kind, start, length, pid), (fcntl.F_WRLCK, 10, 10, os.getppid()))

    with opened("f", os.O_RDWR) as fd:
        fcntl.lockf(fd, fcntl.LOCK_EX, 10, 10)
        same(beside(beside_locked), 0)


def case_waiting(d):
    """one who waits for a lock gets it when its holder ends, however that is"""
    write("f")
    for lock in (fcntl.flock, fcntl.lockf):
        reader, writer = os.pipe()
        holder = os.fork()
        if holder == 0:
            fd = os.open("f", os.O_RDWR)
            lock(fd, fcntl.LOCK_EX)
            os.write(writer, b"x")
            signal.pause()
        os.read(reader, 1)
        waiter = os.fork()
        if waiter == 0:
            fd = os.open("f", os.O_RDWR)
            lock(fd, fcntl.LOCK_EX)
            os._exit(0)
        same(os.waitpid(waiter, os.WNOHANG), (0, 0))
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        same(os.waitpid(waiter, 0)[1], 0)


cases.run(globals())
