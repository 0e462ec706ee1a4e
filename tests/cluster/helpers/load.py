#!/usr/bin/env python3
"""load.py: write files that are acknowledged, and read them by their address.

    write DIR RECORD [FILES [BYTES]]    until SIGTERM, or so many: write one, fsync it, and only then put
                                        "ADDRESS DIGEST NAME" at the end of RECORD
    read BY_HASH RECORD [LIMIT_S [PAUSE_S]]
                                        read each, with a pause after it; fails where one differs, fails or takes
                                        longer; says how long the longest took
"""
import errno
import hashlib
import os
import random
import signal
import sys
import time


def digest(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def write_file(path, data):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view):]
        os.fsync(fd)
    finally:
        os.close(fd)


def write(folder, record, files=0, size=0):
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    n = failed = 0
    with open(record, "a") as out:
        while not ended and (not files or n < files):
            path = os.path.join(folder, f"file{n}")
            n += 1
            data = os.urandom(size or random.randint(1, 400000))
            try:
                write_file(path, data)
                address = os.getxattr(path, "user.dhtfs.address").decode()
            except OSError as e:
                failed += 1
                print(f"{path}: {e.strerror}", flush=True)
                if e.errno in (errno.ENOTCONN, errno.ECONNABORTED):
                    break
                continue
            out.write(f"{address} {digest(data)} {path}\n")
            out.flush()
    print(f"{n - failed} written, {failed} not acknowledged", flush=True)


def read(by_hash, record, limit_s=0.0, pause_s=0.0):
    longest = 0.0
    good = bad = 0
    for line in open(record):
        address, wanted, _ = line.split()
        began = time.monotonic()
        try:
            with open(os.path.join(by_hash, address), "rb") as f:
                got = digest(f.read())
        except OSError as e:
            got = e.strerror
        took = time.monotonic() - began
        longest = max(longest, took)
        if got == wanted:
            good += 1
        else:
            bad += 1
            print(f"{address}: {got} after {took:.1f} s", flush=True)
        time.sleep(pause_s)
    print(f"{good} read, {bad} not, the longest in {longest:.2f} s", flush=True)
    return 1 if bad or not good or (limit_s and longest > limit_s) else 0


if __name__ == "__main__":
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == "write":
        write(args[0], args[1], *map(int, args[2:]))
    else:
        sys.exit(read(args[0], args[1], *map(float, args[2:])))
