"""cases: what python does for mount tests: many small cases, told to the shell script that mounts.

A module defines functions named case_*, whose docstring is a sentence, and ends with
cases.run(globals()).  Each is called with a directory of its own below the one that the command
line names.  The answers, "pass SENTENCE", "fail SENTENCE" or "skip SENTENCE: REASON", are for
the function cases of tests/lib/mount.sh.
"""
import contextlib
import ctypes
import errno
import os
import random
import re
import shutil
import sys
import time
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
SEED = int(os.environ.get("SEED", "1"))

FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE = 1, 2


class Skip(Exception):
    """This machine, or this user, can't do it."""


@contextlib.contextmanager
def error(*names):
    """What is done inside fails, with one of these errnos."""
    try:
        yield
    except OSError as e:
        wanted = [getattr(errno, name) for name in names]
        assert e.errno in wanted, f"{e}, wanted {' or '.join(names)}"
        return
    raise AssertionError(f"no error, wanted {' or '.join(names)}")


def same(got, wanted, what=""):
    assert got == wanted, f"{what}: got {shorten(got)}, wanted {shorten(wanted)}"


def shorten(value):
    text = repr(value)
    return text if len(text) < 300 else f"{text[:300]}... ({len(text)} characters)"


def called(result):
    """The result of a function of libc, or its errno raised."""
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def fallocate(fd, mode, off, length):
    called(LIBC.fallocate(fd, mode, ctypes.c_int64(off), ctypes.c_int64(length)))


def eventually(condition, what):
    """condition() is true before long."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, f"{what()} for 5 s"
        time.sleep(0.02)


def write(path, data=b""):
    with open(path, "wb") as f:
        f.write(data)
    return path


def read(path):
    with open(path, "rb") as f:
        return f.read()


def noise(length, seed=0):
    return random.Random(SEED * 1000003 + seed).randbytes(length)


@contextlib.contextmanager
def opened(path, flags, mode=0o644):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def outcome(function, directory):
    try:
        os.makedirs(directory)
        os.chdir(directory)
        function(directory)
        return "pass", ""
    except Skip as e:
        return "skip", str(e)
    except BaseException:
        return "fail", traceback.format_exc()


def run(module):
    """run(globals()) [DIRECTORY [CASE...]]: all cases, or those named."""
    top = os.path.abspath(sys.argv[1])
    wanted = sys.argv[2:]
    failed = False
    for name, function in list(module.items()):
        if not name.startswith("case_") or (wanted and name not in wanted):
            continue
        directory = os.path.join(top, name)
        sentence = re.sub(r"\s+", " ", function.__doc__)
        result, why = outcome(function, directory)
        os.chdir("/")
        failed |= result == "fail"
        print(result, f"{sentence}: {why}" if result == "skip" else sentence)
        if result == "fail":
            print(f"seed {SEED}\n{why}", end="")
        sys.stdout.flush()
        shutil.rmtree(directory, ignore_errors=True)
    sys.exit(failed)
