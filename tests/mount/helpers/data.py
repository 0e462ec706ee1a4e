"""data: what is written to files comes back, in all ways in which that can be done.  data.py DIRECTORY.

STORE in the environment is the folder where the mount keeps its chunks.
"""
import ctypes
import mmap
import os
import random
import subprocess
import threading
import time

import cases
from cases import error, fallocate, noise, opened, read, same, write

RDWR = os.O_RDWR | os.O_CREAT
MIB = 1 << 20
TIB = 1 << 40


def forget(fd):
    """What the kernel has of a file is read again from the mount."""
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def taken():
    """Bytes that the store takes."""
    os.sync()
    return int(subprocess.check_output(["du", "-s", "--block-size=1", os.environ["STORE"]])
               .split()[0])


def blocks(path):
    return os.stat(path).st_blocks * 512


def case_random_places(d):
    """random writes are read back at random"""
    rng = random.Random(cases.SEED)
    model = bytearray()
    with opened("f", RDWR) as fd:
        for i in range(600):
            off, length = rng.randrange(3 * MIB), rng.choice((1, 100, 4096, 5000, 70000, 300000))
            if rng.random() < 0.5:
                piece = noise(length, i)
                os.pwrite(fd, piece, off)
                model.extend(bytes(max(0, off + length - len(model))))
                model[off:off + length] = piece
            else:
                same(os.pread(fd, length, off), bytes(model[off:off + length]), f"step {i}")
            if i % 100 == 99:
                forget(fd)
    same(read("f"), bytes(model))


def case_ends(d):
    """reads stop at the end of the file, and nothing written is nothing changed"""
    write("f", b"12345")
    before = os.stat("f").st_mtime_ns
    with opened("f", os.O_RDWR) as fd:
        same(os.pread(fd, 100, 3), b"45")
        same(os.pread(fd, 100, 5), b"")
        same(os.pread(fd, 100, TIB), b"")
        same(os.pwrite(fd, b"", 100), 0)
    same((os.stat("f").st_size, os.stat("f").st_mtime_ns), (5, before))


def case_vectors(d):
    """readv, writev and their kin move the same bytes"""
    with opened("f", RDWR) as fd:
        os.writev(fd, [b"a" * 5000, b"b", b"c" * 9000])
        os.pwritev(fd, [b"X", b"Y"], 4999)
        os.pwritev(fd, [b"end"], 0, os.RWF_APPEND)
        parts = [bytearray(5000), bytearray(2), bytearray(9002)]
        os.preadv(fd, parts, 0)
        same(b"".join(parts), b"a" * 4999 + b"XY" + b"c" * 9000 + b"end")


def case_truncate(d):
    """truncation works both ways, and what was cut off does not come back"""
    data = noise(MIB)
    write("f", data)
    for length in (MIB - 1, 500000, 4097, 4096, 100, 0):
        os.truncate("f", length)
        os.truncate("f", MIB)
        same(read("f"), data[:length] + bytes(MIB - length), f"to {length}")
        with opened("f", os.O_RDWR) as fd:
            forget(fd)
            same(os.pread(fd, 2 * MIB, 0), data[:length] + bytes(MIB - length), f"synced {length}")
        write("f", data)
    for bad in (-1,):
        with error("EINVAL"):
            os.truncate("f", bad)
    same(read("f"), data)


def case_limits(d):
    """files end before 2**63, and what goes beyond is EFBIG"""
    with opened("f", RDWR) as fd:
        os.ftruncate(fd, 1 << 62)
        same(os.fstat(fd).st_size, 1 << 62)
        os.pwrite(fd, b"x", (1 << 62) - 1)
        forget(fd)
        same(os.pread(fd, 10, (1 << 62) - 2), b"\0x")
        with error("EFBIG", "EINVAL"):
            os.ftruncate(fd, (1 << 63) - 1)
        with error("EFBIG"):
            fallocate(fd, 0, (1 << 63) - 2 * MIB, 2 * MIB - 1)
        with error("EINVAL"):
            os.pwrite(fd, b"x", -1)
        same(os.fstat(fd).st_size, 1 << 62)
        os.fsync(fd)


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


def case_seek(d):
    """SEEK_DATA and SEEK_HOLE find what is there"""
    with opened("f", RDWR) as fd:
        for mib in (1, 5):
            os.pwrite(fd, noise(MIB, mib), mib * MIB)
        os.ftruncate(fd, 8 * MIB)
        forget(fd)
        same(holes(fd, 8 * MIB), [(MIB, 2 * MIB), (5 * MIB, 6 * MIB)])
        same(os.lseek(fd, 3 * MIB, os.SEEK_HOLE), 3 * MIB)
        same(os.lseek(fd, 3 * MIB + 7, os.SEEK_DATA), 5 * MIB)
        for off, whence in ((6 * MIB, os.SEEK_DATA), (8 * MIB, os.SEEK_HOLE),
                            (TIB, os.SEEK_DATA), (TIB, os.SEEK_HOLE)):
            with error("ENXIO"):
                os.lseek(fd, off, whence)
        same(os.lseek(fd, 5 * MIB + 3, os.SEEK_HOLE), 6 * MIB)
    write("full", noise(100000))
    with opened("full", os.O_RDONLY) as fd:
        same(os.lseek(fd, 0, os.SEEK_HOLE), 100000)
        same(os.lseek(fd, 99999, os.SEEK_DATA), 99999)
    write("empty")
    with opened("empty", os.O_RDONLY) as fd, error("ENXIO"):
        os.lseek(fd, 0, os.SEEK_DATA)


def case_seek_dirty(d):
    """SEEK_DATA sees what was written just before, by write() and through a mapping"""
    for i in range(40):
        with opened(f"f{i}", RDWR) as fd:
            os.ftruncate(fd, 4 * MIB)
            os.pwrite(fd, noise(MIB), MIB)
            same(os.lseek(fd, 0, os.SEEK_DATA), MIB)
            same(os.lseek(fd, MIB, os.SEEK_HOLE), 2 * MIB)
            with opened(f"f{i}", os.O_RDONLY) as reader:
                os.pwrite(fd, noise(MIB), 3 * MIB)
                same(os.lseek(reader, 2 * MIB, os.SEEK_DATA), 3 * MIB)
            with mmap.mmap(fd, 4 * MIB) as m:
                m[2 * MIB:2 * MIB + 65536] = noise(65536)
                same(os.lseek(fd, 2 * MIB, os.SEEK_DATA), 2 * MIB)
            same(holes(fd, 4 * MIB), [(MIB, 2 * MIB + 65536), (3 * MIB, 4 * MIB)])


def case_fallocate(d):
    """fallocate() allocates, punches and zeroes; it can't collapse or insert"""
    data = noise(MIB)
    with opened("f", RDWR) as fd:
        fallocate(fd, 0, 0, 5000)
        same(os.fstat(fd).st_size, 5000)
        same(os.pread(fd, 6000, 0), bytes(5000))
        os.pwrite(fd, data, 0)
        fallocate(fd, cases.FALLOC_KEEP_SIZE, MIB, MIB)
        same(os.fstat(fd).st_size, MIB)
        fallocate(fd, 0, 10, 100)
        same(os.pread(fd, 2 * MIB, 0), data)

        punch = cases.FALLOC_PUNCH_HOLE | cases.FALLOC_KEEP_SIZE
        fallocate(fd, punch, 100000, 300001)
        model = bytearray(data)
        model[100000:400001] = bytes(300001)
        same(os.pread(fd, 2 * MIB, 0), bytes(model))
        forget(fd)
        same(os.pread(fd, 2 * MIB, 0), bytes(model))
        same(holes(fd, MIB), [(0, 100000), (400001, MIB)])
        fallocate(fd, punch, MIB - 10, 1000)
        same(os.fstat(fd).st_size, MIB)
        model[MIB - 10:] = bytes(10)

        fallocate(fd, cases.FALLOC_ZERO | cases.FALLOC_KEEP_SIZE, MIB - 20, 1000)
        same(os.fstat(fd).st_size, MIB)
        fallocate(fd, cases.FALLOC_ZERO, MIB - 20, 1000)
        same(os.fstat(fd).st_size, MIB + 980)
        model[MIB - 20:] = bytes(1000)
        forget(fd)
        same(os.pread(fd, 2 * MIB, 0), bytes(model))

        for mode in (cases.FALLOC_COLLAPSE, cases.FALLOC_INSERT, cases.FALLOC_PUNCH_HOLE):
            with error("EOPNOTSUPP"):
                fallocate(fd, mode, 0, 4096)
        for off, length in ((-1, 10), (0, 0), (0, -1)):
            with error("EINVAL"):
                fallocate(fd, 0, off, length)
        same(os.pread(fd, 2 * MIB, 0), bytes(model))
    with opened("f", os.O_RDONLY) as fd, error("EBADF"):
        fallocate(fd, 0, 0, 10)


def case_fallocate_dirty(d):
    """a hole punched into what the kernel has not written back yet stays a hole"""
    for i in range(20):
        with opened("f", RDWR | os.O_TRUNC) as fd:
            os.pwrite(fd, b"x" * MIB, 0)
            fallocate(fd, cases.FALLOC_PUNCH_HOLE | cases.FALLOC_KEEP_SIZE, 4096 * i + 100, 500000)
            os.pwrite(fd, b"y" * 10, 4096 * i + 200)
            model = bytearray(b"x" * MIB)
            model[4096 * i + 100:4096 * i + 500100] = bytes(500000)
            model[4096 * i + 200:4096 * i + 210] = b"y" * 10
            forget(fd)
            same(os.pread(fd, 2 * MIB, 0), bytes(model))


def case_fallocate_beside_write_back(d):
    """allocating what is there already cuts nothing off that the kernel is writing back"""
    data = noise(8 * MIB)
    for i in range(24):
        with opened("f", RDWR | os.O_TRUNC) as fd:
            os.write(fd, data)
            cases.called(cases.LIBC.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), 2))
            for j in range(20):
                fallocate(fd, 0, 0, (i + j + 1) * 100000)
            forget(fd)
            same(os.fstat(fd).st_size, 8 * MIB)
            assert os.pread(fd, 9 * MIB, 0) == data


def case_copy_range(d):
    """copy_file_range() copies the whole, a part, and within one file"""
    data = noise(3 * MIB)
    write("from", data)
    with opened("from", os.O_RDWR) as src, opened("to", RDWR) as dst:
        same(os.copy_file_range(src, dst, 4 * MIB, 0, 0), 3 * MIB)
        same(read("to"), data)
        same(os.copy_file_range(src, dst, 1000, 3 * MIB, 0), 0)
        same(os.copy_file_range(src, dst, 1000, 3 * MIB - 10, 7), 10)
        same(os.copy_file_range(src, dst, 700001, 12345, 5 * MIB + 3), 700001)
        model = bytearray(data) + bytes(2 * MIB + 3) + data[12345:712346]
        model[7:17] = data[-10:]
        forget(dst)
        same(os.pread(dst, 8 * MIB, 0), bytes(model))
        # What was not yet written back, on both sides.
        os.pwrite(src, b"dirty source", 500)
        os.pwrite(dst, b"dirty target", 100000)
        same(os.copy_file_range(src, dst, 1000, 0, 100004), 1000)
        same(os.pread(dst, 12, 100504), b"dirty source")
        same(os.pread(dst, 4, 100000), b"dirt")

        same(os.copy_file_range(src, src, MIB, 0, 2 * MIB), MIB)
        data = b"".join([data[:500], b"dirty source", data[512:2 * MIB], data[:500],
                         b"dirty source", data[512:MIB]])
        forget(src)
        same(os.pread(src, 4 * MIB, 0), data)
        with error("EINVAL"):
            os.copy_file_range(src, src, MIB, 0, 1000)


def case_copy_range_snapshot(d):
    """a copy keeps what its source held at that moment"""
    write("from", b"a" * 500000)
    with opened("from", os.O_RDWR) as src, opened("to", RDWR) as dst:
        os.copy_file_range(src, dst, 500000, 0, 0)
        os.pwrite(src, b"b" * 500000, 0)
        os.ftruncate(src, 10)
        forget(dst)
        same(read("to"), b"a" * 500000)
    os.unlink("from")
    same(read("to"), b"a" * 500000)


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


def case_sendfile(d):
    """sendfile() and splice() move the same bytes"""
    data = noise(500000)
    write("from", data)
    with opened("from", os.O_RDONLY) as src, opened("to", RDWR) as dst:
        done = 0
        while done < len(data):
            done += os.sendfile(dst, src, done, len(data) - done)
        same(read("to"), data)
        r, w = os.pipe()
        n = os.splice(src, w, 5000, offset_src=100)
        same(os.splice(r, dst, n, offset_dst=0), n)
        os.close(r)
        os.close(w)
        same(os.pread(dst, n, 0), data[100:100 + n])


def case_shared_mapping(d):
    """a shared mapping writes to the file, and sees what is written to it"""
    data = noise(MIB)
    write("f", data)
    model = bytearray(data)
    with opened("f", os.O_RDWR) as fd:
        with mmap.mmap(fd, MIB) as m:
            same(m[:], data)
            for off, piece in ((0, b"first"), (4095, b"across"), (700000, noise(100000, 2))):
                m[off:off + len(piece)] = piece
                model[off:off + len(piece)] = piece
            m.flush()
            same(os.pread(fd, MIB, 0), bytes(model))
            os.pwrite(fd, b"written", 300000)
            model[300000:300007] = b"written"
            same(m[300000:300007], b"written")
            forget(fd)
            same(m[:], bytes(model))
            m[5:10] = b"again"
            model[5:10] = b"again"
            m.flush()
            forget(fd)
            same(os.pread(fd, MIB, 0), bytes(model))
            same(os.fstat(fd).st_size, MIB)


def case_mapping_times(d):
    """writing through a mapping moves the mtime"""
    write("f", b"x" * 5000)
    os.utime("f", ns=(1, 1))
    with opened("f", os.O_RDWR) as fd, mmap.mmap(fd, 5000) as m:
        m[0] = 65
        m.flush()
    assert os.stat("f").st_mtime_ns > 1


def case_mapping_outlives_descriptor(d):
    """a mapping goes on when its file is closed, and removed"""
    write("f", bytes(100000))
    with opened("f", os.O_RDWR) as fd:
        m = mmap.mmap(fd, 100000)
    m[50000:50003] = b"abc"
    m.flush()
    same(read("f")[50000:50003], b"abc")
    with opened("f", os.O_RDONLY) as fd:
        os.unlink("f")
        m[0:3] = b"def"
        m.flush()
        same(os.pread(fd, 3, 0), b"def")
    m.close()


def case_private_mapping(d):
    """a private mapping does not write to the file"""
    write("f", b"x" * 10000)
    with opened("f", os.O_RDWR) as fd:
        with mmap.mmap(fd, 10000, flags=mmap.MAP_PRIVATE) as m:
            m[:] = b"y" * 10000
            same(m[9999], ord("y"))
        forget(fd)
    same(read("f"), b"x" * 10000)


def case_mapping_of_end(d):
    """behind the end of the file, its last page reads as zeros and is never written"""
    write("f", b"x" * 5000)
    with opened("f", os.O_RDWR) as fd:
        with mmap.mmap(fd, 0) as m:
            pass
        libc_map = mmap.mmap(fd, 5000)
        same(len(libc_map), 5000)
        libc_map.close()
        os.ftruncate(fd, 8192)
        with mmap.mmap(fd, 8192) as m:
            same(m[5000:], bytes(3192))
            m[6000:6005] = b"gone!"
            m.flush()
            os.ftruncate(fd, 5500)
            os.ftruncate(fd, 8192)
            same(m[5000:8192], bytes(3192))
        forget(fd)
        same(os.pread(fd, 9000, 0), b"x" * 5000 + bytes(3192))


def case_direct(d):
    """O_DIRECT reads and writes past the cache"""
    data = mmap.mmap(-1, MIB)
    data[:] = noise(MIB)
    try:
        fd = os.open("f", RDWR | os.O_DIRECT)
    except OSError as e:
        raise cases.Skip(str(e)) from e
    with os.fdopen(fd, "rb", buffering=0), opened("f", os.O_RDWR) as plain:
        same(os.pwrite(fd, data, 0), MIB)
        same(os.pread(plain, 2 * MIB, 0), data[:])
        os.pwrite(plain, b"through the cache", 5000)
        back = mmap.mmap(-1, MIB)
        same(os.preadv(fd, [back], 0), MIB)
        data[5000:5017] = b"through the cache"
        same(back[:], data[:])
        page = mmap.mmap(-1, 4096)
        page[:] = b"p" * 4096
        os.pwrite(fd, page, 8192)
        same(os.pread(plain, 4096, 8192), page[:])
        os.pwrite(fd, page, 4 * MIB)
        same(os.fstat(plain).st_size, 4 * MIB + 4096)
        same(os.preadv(fd, [back], 4 * MIB), 4096)
        same(os.preadv(fd, [back], 5 * MIB), 0)


def case_synchronous(d):
    """O_SYNC and O_DSYNC write, and fsync, fdatasync, syncfs and sync succeed"""
    for flag in (os.O_SYNC, os.O_DSYNC):
        with opened("f", RDWR | flag) as fd:
            for i in range(5):
                os.pwrite(fd, b"x" * 5000, i * 5000)
            os.fsync(fd)
            os.fdatasync(fd)
            cases.called(cases.LIBC.syncfs(fd))
        same(read("f"), b"x" * 25000)
    with opened(d, os.O_RDONLY) as fd:
        os.fsync(fd)
        cases.called(cases.LIBC.syncfs(fd))
    with opened("f", os.O_RDWR) as fd, mmap.mmap(fd, 25000) as m:
        m[0] = 1
        cases.called(cases.LIBC.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), 7))
    os.sync()


def case_statfs(d):
    """statfs tells what is free, and that it gets less"""
    before = os.statvfs(d)
    assert before.f_namemax == 255 and before.f_files > 0 and before.f_ffree > 0
    assert before.f_blocks >= before.f_bfree >= before.f_bavail > 0
    with opened("f", RDWR) as fd:
        for i in range(32):
            os.write(fd, noise(MIB, 1000 + i))
        os.fsync(fd)
    after = os.statvfs(d)
    used = (before.f_bavail - after.f_bavail) * before.f_frsize
    assert 24 * MIB < used, f"{used} bytes less are free after 32 MiB"
    write("g")
    assert os.statvfs(d).f_files - os.statvfs(d).f_ffree > before.f_files - before.f_ffree


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


def case_two_writers(d):
    """threads that write to one file leave what each has written"""
    pieces = [noise(300000, i) for i in range(6)]

    def work(i):
        with opened("f", RDWR) as fd:
            for first in range(0, 300000, 5000):
                os.pwrite(fd, pieces[i][first:first + 5000], i * 300000 + first)
                if first % 50000 == 0:
                    os.fsync(fd)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    with opened("f", os.O_RDONLY) as fd:
        forget(fd)
    same(read("f"), b"".join(pieces))


def case_read_while_written(d):
    """readers beside a writer see each byte as it is before or after, never another"""
    size = 2 * MIB
    write("f", b"\1" * size)
    stop = threading.Event()
    wrong = []

    def watch():
        with opened("f", os.O_RDONLY) as fd:
            while not stop.is_set():
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                got = os.pread(fd, size, 0)
                if len(got) != size or got.strip(b"\1\2"):
                    wrong.append(len(got))

    watchers = [threading.Thread(target=watch) for _ in range(2)]
    for w in watchers:
        w.start()
    with opened("f", os.O_WRONLY) as fd:
        for i in range(10):
            for off in range(0, size, 100000):
                os.pwrite(fd, bytes([1 + i % 2]) * min(100000, size - off), off)
            os.fsync(fd)
    stop.set()
    for w in watchers:
        w.join()
    same(wrong, [])


cases.run(globals())
