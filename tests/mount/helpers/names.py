"""names: what POSIX says of names, directories and inodes.  names.py DIRECTORY."""
import ctypes
import os
import random
import socket
import stat
import threading

import cases
from cases import LIBC, NOBODY, as_nobody, error, need_root, opened, read, rename2, same, write

LONG_AGO = 10**18
AT_FOLLOW = 0x400


def age(*paths):
    for path in paths:
        os.utime(path, ns=(LONG_AGO, LONG_AGO), follow_symlinks=False)


def changed(path):
    return os.stat(path).st_mtime_ns > LONG_AGO


def missing(path):
    with error("ENOENT"):
        os.lstat(path)


def case_exclusive(d):
    """O_EXCL refuses a name that exists, a dangling symlink too"""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    os.close(os.open("new", flags))
    with error("EEXIST"):
        os.open("new", flags)
    os.symlink("nowhere", "dangling")
    with error("EEXIST"):
        os.open("dangling", flags)
    os.close(os.open("dangling", os.O_CREAT | os.O_WRONLY))
    assert os.path.exists("nowhere")


def case_open_truncates(d):
    """O_TRUNC empties a file and moves its times"""
    write("f", b"x" * 300000)
    age("f")
    os.close(os.open("f", os.O_WRONLY | os.O_TRUNC))
    same((os.stat("f").st_size, read("f")), (0, b""))
    assert changed("f")


def case_append(d):
    """O_APPEND writes at the end, wherever others have put it"""
    with opened("f", os.O_CREAT | os.O_WRONLY | os.O_APPEND) as a, \
            opened("f", os.O_WRONLY | os.O_APPEND) as b:
        for i in range(100):
            os.write(a, b"a%02d" % i)
            os.lseek(b, 0, os.SEEK_SET)
            os.write(b, b"b%02d" % i)
        os.ftruncate(a, 3)
        os.write(b, b"end")
    same(read("f"), b"a00end")


def case_open_refused(d):
    """open() fails as it should on what is not a file"""
    write("f")
    os.mkdir("dir")
    os.symlink("f", "link")
    os.symlink("loop", "loop")
    for path, flags, name in [
            ("none", os.O_RDONLY, "ENOENT"), ("f/x", os.O_RDONLY, "ENOTDIR"),
            ("f/", os.O_RDONLY, "ENOTDIR"), ("f", os.O_RDONLY | os.O_DIRECTORY, "ENOTDIR"),
            ("link", os.O_RDONLY | os.O_NOFOLLOW, "ELOOP"), ("loop", os.O_RDONLY, "ELOOP"),
            ("dir", os.O_WRONLY, "EISDIR"), ("dir", os.O_RDWR, "EISDIR"),
            ("dir", os.O_CREAT | os.O_WRONLY, "EISDIR"), ("", os.O_RDONLY, "ENOENT"),
            ("none/x", os.O_CREAT | os.O_WRONLY, "ENOENT")]:
        with error(name):
            os.close(os.open(path, flags))


def case_unnamed_file(d):
    """O_TMPFILE is refused so that programs do without"""
    with error("EOPNOTSUPP"):
        os.close(os.open(d, os.O_TMPFILE | os.O_RDWR))


def case_unlinked_open(d):
    """a file that lost its name can be read, written, cut and synced until it is closed"""
    data = cases.noise(3 << 20)
    with opened("f", os.O_CREAT | os.O_RDWR) as fd:
        os.write(fd, data)
        os.unlink("f")
        same(os.fstat(fd).st_nlink, 0)
        same(os.pread(fd, len(data) + 1, 0), data)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        same(os.pread(fd, len(data) + 1, 0), data)
        os.pwrite(fd, b"after", len(data))
        os.fsync(fd)
        os.ftruncate(fd, len(data) + 2)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        same(os.pread(fd, 100, len(data)), b"af")
        os.fchmod(fd, 0o600)
        same(stat.S_IMODE(os.fstat(fd).st_mode), 0o600)
        with error("ENOENT"):
            cases.called(LIBC.linkat(-100, b"/proc/self/fd/%d" % fd, -100, b"back", AT_FOLLOW))
        write("f", b"another")
        same(os.fstat(fd).st_size, len(data) + 2)
    same(read("f"), b"another")


def case_removed_while_read(d):
    """an open file that another replaces keeps its content"""
    write("old", b"old" * 100000)
    write("new", b"new")
    with opened("old", os.O_RDONLY) as fd:
        os.rename("new", "old")
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        same(os.pread(fd, 400000, 0), b"old" * 100000)
    same(read("old"), b"new")


def case_rename_over(d):
    """rename() replaces what it may, and nothing else"""
    os.mkdir("full")
    os.mkdir("empty")
    os.mkdir("dir")
    write("full/x")
    write("f", b"f")
    write("dir/inside", b"inside")
    for old, new, name in [
            ("f", "dir", "EISDIR"), ("dir", "f", "ENOTDIR"), ("dir", "full", "ENOTEMPTY"),
            ("none", "f", "ENOENT"), ("f", "none/x", "ENOENT"), ("f", "f/x", "ENOTDIR")]:
        with error(name):
            os.rename(old, new)
    os.rename("dir", "empty")
    same(read("empty/inside"), b"inside")
    missing("dir")
    os.rename("f", "f")
    same(read("f"), b"f")


def case_rename_same_file(d):
    """rename() between two names of one file does nothing"""
    write("a", b"x")
    os.link("a", "b")
    os.rename("a", "b")
    same(sorted(os.listdir()), ["a", "b"])
    same(os.stat("a").st_nlink, 2)


def case_rename_flags(d):
    """RENAME_NOREPLACE and RENAME_EXCHANGE do that, other flags are refused"""
    os.makedirs("one/sub")
    os.makedirs("two")
    write("two/f", b"f")
    with error("EEXIST"):
        rename2("one", "two", cases.RENAME_NOREPLACE)
    rename2("two/f", "two/g", cases.RENAME_NOREPLACE)
    rename2("one/sub", "two/g", cases.RENAME_EXCHANGE)
    same(read("one/sub"), b"f")
    assert os.path.isdir("two/g")
    same((os.stat("one").st_nlink, os.stat("two").st_nlink), (2, 3))
    same(os.stat("two/g/..").st_ino, os.stat("two").st_ino)
    with error("ENOENT"):
        rename2("one/sub", "none", cases.RENAME_EXCHANGE)
    both = cases.RENAME_NOREPLACE | cases.RENAME_EXCHANGE
    for flags in (both, cases.RENAME_WHITEOUT, 64):
        with error("EINVAL"):
            rename2("one/sub", "none", flags)


def case_rename_into_itself(d):
    """a directory can't be moved below itself, nor take the place of one above it"""
    os.makedirs("a/b/c")
    for new in ("a/x", "a/b/x", "a/b/c/x"):
        with error("EINVAL"):
            os.rename("a", new)
    with error("EINVAL"):
        rename2("a", "a/b/c", cases.RENAME_EXCHANGE)
    with error("ENOTEMPTY"):
        os.rename("a/b/c", "a")
    with error("EINVAL"):
        rename2("a/b/c", "a", cases.RENAME_EXCHANGE)
    assert os.path.isdir("a/b/c")


def case_remove(d):
    """rmdir() and unlink() keep to what is theirs"""
    os.makedirs("full/sub")
    write("f")
    for function, path, names in [
            (os.rmdir, "full", ["ENOTEMPTY"]), (os.rmdir, "f", ["ENOTDIR"]),
            (os.rmdir, "none", ["ENOENT"]), (os.rmdir, "full/.", ["EINVAL"]),
            (os.rmdir, "full/sub/..", ["ENOTEMPTY"]), (os.unlink, "full", ["EISDIR", "EPERM"]),
            (os.unlink, "none", ["ENOENT"]), (os.unlink, "f/x", ["ENOTDIR"])]:
        with error(*names):
            function(path)


def case_removed_directory(d):
    """in a directory that was removed nothing can be made, and nothing is listed"""
    os.mkdir("gone")
    with opened("gone", os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.rmdir("gone")
        with error("ENOENT"):
            os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
        with error("ENOENT"):
            os.mkdir("x", dir_fd=fd)
        same(os.listdir(fd), [])
        same(os.fstat(fd).st_nlink, 0)
    os.mkdir("gone")
    same(os.listdir("gone"), [])


def case_links(d):
    """hard links count, share one inode, and are refused to directories"""
    write("a", b"1")
    age("a")
    os.mkdir("dir")
    before = os.stat("a").st_ctime_ns
    cases.tick()
    os.link("a", "dir/b")
    same([os.stat(p).st_nlink for p in ("a", "dir/b")], [2, 2])
    same(os.stat("a").st_ino, os.stat("dir/b").st_ino)
    assert os.stat("a").st_ctime_ns > before and not changed("a")
    write("dir/b", b"22")
    same(read("a"), b"22")
    with error("EPERM"):
        os.link("dir", "dir2")
    with error("EEXIST"):
        os.link("a", "dir/b")
    before = os.stat("a").st_ctime_ns
    os.unlink("dir/b")
    same(os.stat("a").st_nlink, 1)
    assert os.stat("a").st_ctime_ns >= before
    os.symlink("a", "link")
    os.link("link", "link2", follow_symlinks=False)
    same(os.readlink("link2"), "a")
    same(os.lstat("link").st_nlink, 2)


def case_symlinks(d):
    """symlinks hold up to 4095 bytes, and have a size and times of their own"""
    for target in ("x", "a/b/../c", "y" * 4095, "\udc80\udcff"):
        os.symlink(target, "link")
        same(os.readlink("link"), target)
        same(os.lstat("link").st_size, len(os.fsencode(target)))
        os.unlink("link")
    with error("ENAMETOOLONG"):
        os.symlink("y" * 4096, "link")
    with error("ENOENT"):
        os.symlink("", "link")
    os.symlink("nowhere", "link")
    os.utime("link", ns=(3, 5), follow_symlinks=False)
    same((os.lstat("link").st_atime_ns, os.lstat("link").st_mtime_ns), (3, 5))
    with error("EINVAL"):
        os.readlink(d)


def case_fifo(d):
    """a fifo carries bytes"""
    os.mkfifo("fifo", 0o640)
    same(os.stat("fifo").st_mode, stat.S_IFIFO | 0o640)
    got = []
    reader = threading.Thread(target=lambda: got.append(read("fifo")))
    reader.start()
    write("fifo", b"through")
    reader.join()
    same(got, [b"through"])


def case_socket(d):
    """a socket can be bound and connected to"""
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("sock")
        server.listen()
        client.connect("sock")
        client.send(b"x")
        same(server.accept()[0].recv(1), b"x")
    assert stat.S_ISSOCK(os.stat("sock").st_mode)


def case_devices(d):
    """device nodes keep type, mode and number"""
    need_root()
    for name, kind, number in [
            ("null", stat.S_IFCHR, (1, 3)), ("block", stat.S_IFBLK, (4095, 1048575)),
            ("large", stat.S_IFCHR, (259, 65536))]:
        os.mknod(name, kind | 0o600, os.makedev(*number))
        st = os.stat(name)
        same((st.st_mode, os.major(st.st_rdev), os.minor(st.st_rdev)), (kind | 0o600, *number))


def case_types(d):
    """readdir() tells each name's type"""
    write("file")
    os.mkdir("dir")
    os.symlink("x", "link")
    os.mkfifo("fifo")
    same({e.name: (e.is_file(follow_symlinks=False), e.is_dir(follow_symlinks=False),
                   e.is_symlink()) for e in os.scandir()},
         {"file": (True, False, False), "dir": (False, True, False),
          "link": (False, False, True), "fifo": (False, False, False)})


def case_umask(d):
    """the umask takes its bits from what is made"""
    old = os.umask(0o027)
    try:
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir("dir", 0o777)
        os.mkfifo("fifo", 0o666)
    finally:
        os.umask(old)
    same([stat.S_IMODE(os.stat(p).st_mode) for p in ("f", "dir", "fifo")],
         [0o640, 0o750, 0o640])


def case_sticky(d):
    """in a sticky directory only the owner removes and renames"""
    need_root()
    os.mkdir("tmp")
    os.chmod("tmp", 0o1777)
    write("tmp/roots")

    def nobody():
        write("tmp/mine")
        with error("EPERM"):
            os.unlink("tmp/roots")
        with error("EPERM"):
            os.rename("tmp/roots", "tmp/x")
        with error("EPERM"):
            os.rename("tmp/mine", "tmp/roots")
        os.rename("tmp/mine", "tmp/mine2")
        os.unlink("tmp/mine2")

    as_nobody(nobody)


def case_setgid_directory(d):
    """a setgid directory hands its group down, and its bit to directories"""
    need_root()
    os.mkdir("dir")
    os.chown("dir", -1, 1234)
    os.chmod("dir", 0o2777)
    os.mkdir("dir/sub")
    write("dir/f")
    same((os.stat("dir/sub").st_gid, os.stat("dir/f").st_gid), (1234, 1234))
    same(stat.S_IMODE(os.stat("dir/sub").st_mode), 0o2755)
    same(stat.S_IMODE(os.stat("dir/f").st_mode), 0o644)

    def nobody():
        os.close(os.open("dir/theirs", os.O_CREAT | os.O_WRONLY, 0o2755))
        same(os.stat("dir/theirs").st_mode & 0o7777, 0o755)
        same((os.stat("dir/theirs").st_uid, os.stat("dir/theirs").st_gid), (NOBODY, 1234))

    as_nobody(nobody)


def case_permissions(d):
    """another user gets what the mode gives, and no more"""
    need_root()
    write("secret", b"x")
    os.chmod("secret", 0o600)
    write("open", b"x")
    os.mkdir("closed", 0o700)
    write("closed/x")
    write("group", b"g")
    os.chown("group", 0, 4321)
    os.chmod("group", 0o640)

    def nobody():
        same(read("open"), b"x")
        for function in (lambda: read("secret"), lambda: write("open"), lambda: write("new"),
                         lambda: os.mkdir("new"), lambda: os.stat("closed/x"),
                         lambda: os.listdir("closed"), lambda: os.unlink("open"),
                         lambda: os.truncate("open", 0), lambda: read("group")):
            with error("EACCES"):
                function()
        for function in (lambda: os.chmod("open", 0o666), lambda: os.utime("open", ns=(1, 1)),
                         lambda: os.chown("open", NOBODY, NOBODY)):
            with error("EPERM"):
                function()
        same((os.access("open", os.R_OK), os.access("open", os.W_OK)), (True, False))

    as_nobody(nobody)
    as_nobody(lambda: same(read("group"), b"g"), groups=[4321])


def case_name_lengths(d):
    """names have up to 255 bytes, paths up to 4095"""
    name = "n" * 255
    makers = [lambda n: write(n), os.mkdir, lambda n: os.symlink("x", n), os.mkfifo,
              lambda n: os.link("f", n), lambda n: os.rename("g", n)]
    write("f")
    for make in makers:
        write("g")
        make(name)
        same([n for n in os.listdir() if n not in "fg"], [name])
        os.rename(name, "x")
        os.rmdir("x") if os.path.isdir("x") and not os.path.islink("x") else os.unlink("x")
        write("g")
        with error("ENAMETOOLONG"):
            make(name + "n")
    with error("ENAMETOOLONG"):
        os.stat(name + "n")
    with error("ENAMETOOLONG"):
        os.stat("./" * 2047 + "fff")
    umlauts = "ü" * 127
    write(umlauts, b"u")
    assert umlauts in os.listdir()


def case_every_byte(d):
    """a name can have every byte but '/' and NUL"""
    names = [bytes([c]) for c in range(1, 256) if c not in b"/."]
    names += [bytes(c for c in range(1, 256) if c != 0x2f), b"...", b".x", b" ", b"a\n", b"\\"]
    names = set(names)
    for name in names:
        write(name, name)
    same(set(os.listdir(b".")), names)
    for name in names:
        same(read(name), name)
        os.rename(name, name + b"x")
    same(set(os.listdir(b".")), {n + b"x" for n in names})


def case_order_of_letters(d):
    """case and Unicode forms make different names"""
    names = {"a", "A", "\u00e9", "e\u0301"}
    for name in names:
        write(name)
    same(set(os.listdir()), names)


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_uint16),
                ("type", ctypes.c_uint8), ("name", ctypes.c_char * 256)]


LIBC.opendir.restype = ctypes.c_void_p
LIBC.readdir.restype = ctypes.POINTER(Dirent)
LIBC.telldir.restype = ctypes.c_long


class Listing:
    """opendir(3), for what os.scandir() can't do."""

    def __init__(self, path):
        self.dir = ctypes.c_void_p(LIBC.opendir(os.fsencode(path)))
        assert self.dir, path

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        LIBC.closedir(self.dir)

    def next(self):
        entry = LIBC.readdir(self.dir)
        return (os.fsdecode(entry.contents.name), entry.contents.ino) if entry else None

    def tell(self):
        return LIBC.telldir(self.dir)

    def seek(self, place):
        LIBC.seekdir(self.dir, ctypes.c_long(place))

    def rewind(self):
        LIBC.rewinddir(self.dir)

    def rest(self):
        names = []
        while (entry := self.next()):
            names.append(entry[0])
        return names


def case_seekdir(d):
    """seekdir() returns to where telldir() was, in any order"""
    for i in range(700):
        write(f"name{i}")
    with Listing(d) as listing:
        places = []
        while True:
            place = listing.tell()
            entry = listing.next()
            places.append((place, entry))
            if not entry:
                break
        same(len(places), 703)
        rng = random.Random(cases.SEED)
        for place, entry in rng.sample(places, 300):
            listing.seek(place)
            same(listing.next(), entry)


def case_listing_under_change(d):
    """names come and go during a listing: the others come once each, also after seekdir()"""
    stay = {f"stay{i}" for i in range(1500)}
    go = [f"go{i}" for i in range(1500)]
    for name in [n for pair in zip(sorted(stay), go) for n in pair]:
        write(name)
    with Listing(d) as listing:
        seen = [listing.next()[0] for _ in range(500)]
        place = listing.tell()
        for name in go:
            os.unlink(name)
        for i in range(1000):
            write(f"come{i}")
        rest = listing.rest()
        listing.seek(place)
        again = listing.rest()
        for names in (seen + rest, seen + again):
            same(sorted(n for n in names if n.startswith("stay")), sorted(stay))
            same(len(names), len(set(names)))
        listing.rewind()
        same(len(listing.rest()), 2502)


def case_removed_while_listed(d):
    """removing each name as it is listed leaves none"""
    for i in range(3000):
        write(f"name{i}")
    with os.scandir(d) as entries:
        for entry in entries:
            os.unlink(entry.name)
    same(os.listdir(), [])


def case_many_names(d):
    """10,000 names in one directory are made, listed, found, renamed and removed"""
    for i in range(10000):
        os.close(os.open(f"name{i:05}", os.O_CREAT | os.O_WRONLY | os.O_EXCL))
    same(sorted(os.listdir()), [f"name{i:05}" for i in range(10000)])
    for i in range(0, 10000, 2):
        os.rename(f"name{i:05}", f"moved{i:05}")
    for i in range(1, 10000, 2):
        os.unlink(f"name{i:05}")
    same(sorted(os.listdir()), [f"moved{i:05}" for i in range(0, 10000, 2)])
    missing("name00000")


def case_dots(d):
    """. and .. are listed first, with the right inode numbers, also after a move"""
    os.makedirs("a/b")
    os.makedirs("c")

    def check(path):
        with Listing(path) as listing:
            same(listing.next(), (".", os.stat(path).st_ino))
            same(listing.next(), ("..", os.stat(path + "/..").st_ino))

    check("a/b")
    same(os.stat("a/b/..").st_ino, os.stat("a").st_ino)
    os.rename("a/b", "c/b")
    check("c/b")
    same(os.stat("c/b/..").st_ino, os.stat("c").st_ino)
    same((os.stat("a").st_nlink, os.stat("c").st_nlink), (2, 3))


def case_listed_numbers(d):
    """readdir() and stat() agree on inode numbers, and none is used twice"""
    for i in range(200):
        write(f"f{i}")
    numbers = {e.name: e.inode() for e in os.scandir()}
    same(numbers, {n: os.stat(n).st_ino for n in numbers})
    same(len(set(numbers.values())), 200)
    for name in numbers:
        os.unlink(name)
        write(name)
    assert not set(numbers.values()) & {os.stat(n).st_ino for n in numbers}


def case_parent_times(d):
    """each change of a name moves the times of its directory, a failed one does not"""
    os.makedirs("dir/sub")
    os.mkdir("other")
    write("f")
    steps = [lambda: write("dir/f"), lambda: os.mkdir("dir/d"), lambda: os.link("f", "dir/l"),
             lambda: os.symlink("x", "dir/s"), lambda: os.mkfifo("dir/p"),
             lambda: os.rename("dir/f", "dir/g"), lambda: os.unlink("dir/g"),
             lambda: os.rmdir("dir/d")]
    for i, step in enumerate(steps):
        age("dir")
        before = os.stat("dir").st_ctime_ns
        step()
        assert changed("dir") and os.stat("dir").st_ctime_ns >= before, f"step {i}"
    age("dir", "other", "f", "dir/l")
    before = os.stat("f").st_ctime_ns
    os.rename("dir/sub", "other/sub")
    assert changed("dir") and changed("other")
    age("dir", "other")
    rename2("f", "dir/s", cases.RENAME_EXCHANGE)
    assert changed("dir") and not changed("dir/s")
    assert os.stat("dir/s").st_ctime_ns >= before
    age("dir")
    for step in (lambda: os.mkdir("dir/l"), lambda: os.rmdir("dir/none"),
                 lambda: os.unlink("dir/none"), lambda: write("dir/none/x")):
        with error("EEXIST", "ENOENT"):
            step()
    write("dir/l", b"content")
    assert not changed("dir")


def case_ctime_of_renamed(d):
    """rename() moves the ctime of what is renamed, not its mtime"""
    write("f")
    age("f")
    os.chmod("f", 0o600)
    before = os.stat("f").st_ctime_ns
    os.rename("f", "g")
    assert os.stat("g").st_ctime_ns >= before and not changed("g")


def case_order_of_times(d):
    """a file is never older after a write, and not by a tick than what was made before it"""
    tick = 10_000_000       # the kernel's times may be finer than ours, within its tick
    last = 0
    for i in range(300):
        path = f"f{i}"
        fd = os.open(path, os.O_CREAT | os.O_WRONLY)
        made = os.fstat(fd).st_mtime_ns
        os.write(fd, b"x")
        written = os.fstat(fd).st_mtime_ns
        os.close(fd)
        os.mkdir(f"d{i}")
        directory = os.stat(f"d{i}").st_mtime_ns
        assert last <= made + tick and made <= written <= directory + tick, \
            (i, last, made, written, directory)
        last = directory


def case_deep(d):
    """300 directories deep, a tree is made, walked up and removed"""
    top = os.stat(d).st_ino
    for _ in range(300):
        os.mkdir("d")
        os.chdir("d")
    write("bottom", b"b")
    for _ in range(300):
        os.chdir("..")
    same(os.stat(".").st_ino, top)
    same(read("d/" * 300 + "bottom"), b"b")


def case_reserved_elsewhere(d):
    """the name by-hash is special in the root only"""
    os.mkdir("by-hash")
    write("by-hash/x", b"x")
    same(os.listdir("by-hash"), ["x"])
    os.rename("by-hash", "y")
    os.rename("y", "by-hash")


def case_threads(d):
    """eight threads make, rename and remove names in one directory"""
    failures = []

    def work(me):
        try:
            for i in range(200):
                name = f"{me}-{i}"
                write(name, name.encode())
                os.rename(name, name + "r")
                os.listdir()
                same(read(name + "r"), name.encode())
                os.unlink(name + "r")
                try:
                    os.mkdir("shared")
                    os.rmdir("shared")
                except (FileExistsError, FileNotFoundError):
                    pass
        except BaseException as e:
            failures.append(repr(e))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    same(failures, [])
    same(os.listdir(), [])


cases.run(globals())
