"""data: what this filesystem does with content that others need not: clones, addresses, exact blocks.
data.py DIRECTORY, in a mount with --size-max.

STORE in the environment is the folder where the mount keeps its chunks.
"""
import os
import subprocess
import time

import cases
from cases import error, fallocate, noise, opened, read, same, write

RDWR = os.O_RDWR | os.O_CREAT
MIB = 1 << 20
TIB = 1 << 40


def taken():
    """Bytes that the store takes."""
    os.sync()
    return int(subprocess.check_output(["du", "-s", "--block-size=1", os.environ["STORE"]])
               .split()[0])


def blocks(path):
    return os.stat(path).st_blocks * 512


def holes(fd, size):
    """[(first, end)] of what SEEK_DATA and SEEK_HOLE call data."""
    ranges, off = [], 0
    while off < size:
        try:
            first = os.lseek(fd, off, os.SEEK_DATA)
        except OSError as e:
            same(e.errno, 6, "ENXIO")
            break
        off = os.lseek(fd, first, os.SEEK_HOLE)
        ranges.append((first, off))
    return ranges


def case_copy_moves_no_data(d):
    """cp of a large file moves no data"""
    with opened("large", RDWR) as fd:
        for i in range(64):
            os.write(fd, noise(MIB, i))
        os.fsync(fd)
    before = taken()
    started = time.monotonic()
    subprocess.check_call(["cp", "large", "copy"])
    with opened("copy", os.O_RDWR) as fd:
        os.fsync(fd)
    took = time.monotonic() - started
    grew = taken() - before
    subprocess.check_call(["cmp", "large", "copy"])
    assert grew < 4 * MIB, f"the store grew by {grew} bytes"
    assert took < 5, f"it took {took} s"


def case_copy_of_by_hash(d):
    """a file copied from by-hash is the same file"""
    root = d
    while not os.path.ismount(root):
        root = os.path.dirname(root)
    data = noise(3 * MIB)
    write("f", data)
    address = os.getxattr("f", "user.dhtfs.address").decode()
    with opened(f"{root}/by-hash/{address}", os.O_RDONLY) as src, opened("copy", RDWR) as dst:
        same(os.copy_file_range(src, dst, 4 * MIB, 0, 0), 3 * MIB)
        with error("EBADF"):
            os.copy_file_range(dst, src, 10, 0, 0)
    same(read("copy"), data)
    same(os.getxattr("copy", "user.dhtfs.address").decode(), address)


def case_blocks(d):
    """a sparse file takes the blocks of its data, also while it is written"""
    def about(mib):
        cases.eventually(lambda: mib * MIB <= blocks("f") <= mib * MIB + 65536,
                         lambda: f"{blocks('f')} bytes, not {mib} MiB")

    with opened("f", RDWR) as fd:
        os.ftruncate(fd, 100 * MIB)
        same(blocks("f"), 0)
        for i in range(1, 4):
            os.pwrite(fd, noise(MIB), 20 * i * MIB)
            os.fsync(fd)
            about(i)
        fallocate(fd, cases.FALLOC_PUNCH_HOLE | cases.FALLOC_KEEP_SIZE, 40 * MIB, MIB)
        os.fsync(fd)
        about(2)
        os.ftruncate(fd, 50 * MIB)
        about(1)
        os.ftruncate(fd, 0)
        about(0)
    write("zeros", bytes(MIB))
    cases.eventually(lambda: blocks("zeros") == 0, lambda: f"zeros: {blocks('zeros')} bytes")
    write("small", b"x")
    same(os.stat("small").st_blocks, 1)


def case_tebibyte(d):
    """a sparse file of 1 TiB costs no time to copy, read in part, or cut"""
    with opened("huge", RDWR) as fd:
        os.ftruncate(fd, TIB)
        for place in (0, TIB // 2, TIB - 5):
            os.pwrite(fd, b"there", place)
        os.fsync(fd)
    started = time.monotonic()
    subprocess.check_call(["cp", "--sparse=auto", "huge", "copy"])
    with opened("copy", os.O_RDWR) as fd:
        os.fsync(fd)
        same(os.fstat(fd).st_size, TIB)
        for place in (0, TIB // 2, TIB - 5):
            same(os.pread(fd, 6, place)[:5], b"there")
        same(os.pread(fd, 100000, 3 * TIB // 4), bytes(100000))
        assert blocks("copy") < MIB, blocks("copy")
        data = holes(fd, TIB)
        same(len(data), 3)
        os.pwrite(fd, b"more", TIB // 4)
        os.fsync(fd)
        same(len(holes(fd, TIB)), 4)
        os.ftruncate(fd, TIB // 2)
        os.fsync(fd)
    took = time.monotonic() - started
    assert took < 4, f"it took {took} s"


def case_sparse_copies(d):
    """cp --sparse=always and --reflink leave the same bytes"""
    data = noise(100000) + bytes(3 * MIB) + noise(200000, 1) + bytes(MIB)
    write("f", data)
    for i, option in enumerate(("--sparse=always", "--sparse=never", "--reflink=auto")):
        subprocess.check_call(["cp", option, "f", f"copy{i}"])
        same(read(f"copy{i}"), data)
        same(os.getxattr(f"copy{i}", "user.dhtfs.address"), os.getxattr("f", "user.dhtfs.address"))


cases.run(globals())
