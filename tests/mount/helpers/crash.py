"""crash: writes to a mount until it dies, and tells afterwards what of that must be there.

    crash.py write TREE RECORDS SEED ROUND   until the mount is gone
    crash.py copy TREE RECORDS SEED ROUND    the same, as cp -r of a tree of files of many sizes
    crash.py cut TREE RECORDS SEED ROUND     the same, as one who cuts a file and writes it later
    crash.py verify TREE RECORDS SEED ROUND  after it is mounted again: prints what is wrong

Nothing but the mount may keep what these write down, so RECORDS is a folder outside of it.  A
line says what is about to be done, and `synced` what fsync() has acknowledged since; one line
at a time, so the process may be killed anywhere.  Every byte of a file follows from its name,
its version and the seed.
"""
import errno
import json
import os
import random
import stat
import sys
import time

PAGE = 4096
SIZES = (0, 100, PAGE, 5000, 33_000, 70_000, 300_000, 1_000_000)
TARGETS = 6


def content(seed, name, version):
    """One version of a file: a line that says which, then bytes of one of three sorts."""
    rng = random.Random(f"{seed}/{name}/{version}")
    head = f"{name}\t{version}\n".encode()
    size = max(rng.choice(SIZES) + rng.randrange(100), len(head))
    sort = rng.randrange(3)
    if sort == 0:
        body = rng.randbytes(size)
    elif sort == 1:
        body = b" ".join(b"%d" % n for n in range(version, version + size // 4 + 1))
    else:
        body = rng.randbytes(size // 3) + bytes(size // 3) + rng.randbytes(size)
    return (head + body)[:size].ljust(size, b".")


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Records:
    """The lines that one writer has written down."""

    def __init__(self, folder, name):
        self.path = os.path.join(folder, name)

    def start(self):
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)

    def add(self, *line):
        os.write(self.fd, json.dumps(line).encode() + b"\n")

    def load(self):
        with open(self.path) as file:
            return [json.loads(line) for line in file]


class Names:
    """path -> type, as changes make them."""

    def __init__(self):
        self.types = {}

    def apply(self, verb, old, new=None):
        if verb in ("unlink", "rmdir"):
            self.types.pop(old, None)
        elif verb == "rename":
            moved = [p for p in self.types if p == old or p.startswith(old + "/")]
            for path in moved:
                self.types[new + path[len(old):]] = self.types.pop(path)
        elif verb == "link":
            self.types[new] = self.types[old]
        else:
            self.types[old] = verb


class Writer:
    """One thread, so that its changes of names are in the checkpoints in this order."""

    def __init__(self, tree, records, seed, round_number):
        self.tree = tree
        self.records = Records(records, "write")
        self.seed = seed
        self.round = round_number
        self.version = round_number * 1_000_000
        self.rng = random.Random(f"{seed}/{round_number}")
        self.names = Names()

    def at(self, path):
        return os.path.join(self.tree, path)

    def name(self, verb, *paths):
        """A change of names, written down before it is made."""
        self.records.add("name", verb, *paths)
        self.names.apply(verb, *paths)
        if verb == "unlink":
            os.unlink(self.at(paths[0]))
        elif verb == "mkdir":
            os.mkdir(self.at(paths[0]))
        elif verb == "rmdir":
            os.rmdir(self.at(paths[0]))
        elif verb == "rename":
            os.rename(self.at(paths[0]), self.at(paths[1]))
        elif verb == "link":
            os.link(self.at(paths[0]), self.at(paths[1]))
        elif verb == "symlink":
            os.symlink("to " + paths[0], self.at(paths[0]))
        elif verb == "create":
            os.close(os.open(self.at(paths[0]), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))

    def pieces(self, fd, data):
        done = 0
        while done < len(data):
            done += os.write(fd, data[done:done + self.rng.choice((100, 4096, 50_000, 1 << 20))])

    def write(self, path, sync, flags=0):
        """A new version of the whole file at ${path}, which is there."""
        self.version += 1
        self.records.add("write", path, self.version)
        fd = os.open(self.at(path), os.O_WRONLY | flags)
        try:
            if not flags:
                os.ftruncate(fd, 0)
            self.pieces(fd, content(self.seed, path.removesuffix(".new"), self.version))
            if sync:
                self.sync(fd, path)
        finally:
            os.close(fd)

    def sync(self, fd, path):
        self.records.add("syncing")
        os.fsync(fd)
        self.records.add("synced", path)

    def sync_all(self):
        fd = os.open(self.tree, os.O_RDONLY)
        self.records.add("syncing")
        os.fsync(fd)
        os.close(fd)
        self.records.add("synced", "")

    def begin(self):
        """Files that have been there for long when they are replaced, cut or overwritten."""
        home = f"r{self.round}"
        self.name("mkdir", home)
        for kind in ("keep", "replace", "cut", "over", "names"):
            self.name("mkdir", f"{home}/{kind}")
        for kind in ("replace", "cut"):
            for i in range(TARGETS):
                self.name("create", f"{home}/{kind}/{i}")
                self.write(f"{home}/{kind}/{i}", False)
        self.name("create", f"{home}/over/0")
        self.over = bytearray(random.Random(f"{self.seed}/over/{self.round}").randbytes(1_500_000))
        self.records.add("over", f"{home}/over/0", 0, len(self.over), self.round)
        with open(self.at(f"{home}/over/0"), "r+b") as file:
            file.write(self.over)
        self.name("create", f"{home}/log")
        self.log_size = 0
        self.sync_all()
        self.home = home

    def keep(self):
        self.version += 1
        path = f"{self.home}/keep/{self.version}"
        self.name("create", path)
        self.write(path, self.rng.random() < 0.5)

    def replace(self):
        path = f"{self.home}/replace/{self.rng.randrange(TARGETS)}"
        self.name("create", path + ".new")
        self.write(path + ".new", self.rng.random() < 0.2)
        self.name("rename", path + ".new", path)

    def cut(self):
        path = f"{self.home}/cut/{self.rng.randrange(TARGETS)}"
        self.write(path, self.rng.random() < 0.2, self.rng.choice((0, os.O_TRUNC)))

    def overwrite(self):
        path = f"{self.home}/over/0"
        length = self.rng.choice((10, PAGE, 20_000, 300_000))
        offset = self.rng.randrange(len(self.over) - length)
        self.version += 1
        self.records.add("over", path, offset, length, self.version)
        fd = os.open(self.at(path), os.O_WRONLY)
        try:
            os.pwrite(fd, random.Random(f"{self.seed}/over/{self.version}").randbytes(length), offset)
            if self.rng.random() < 0.2:
                self.sync(fd, path)
        finally:
            os.close(fd)

    def log(self):
        path = f"{self.home}/log"
        fd = os.open(self.at(path), os.O_WRONLY | os.O_APPEND)
        try:
            for _ in range(self.rng.randrange(1, 20)):
                first = self.log_size // 16
                line = b"".join(b"%015d\n" % (first + i) for i in range(self.rng.randrange(1, 100)))
                self.log_size += len(line)
                self.records.add("log", path, self.log_size)
                os.write(fd, line)
            if self.rng.random() < 0.5:
                self.sync(fd, path)
        finally:
            os.close(fd)

    def change_names(self):
        base = f"{self.home}/names"
        self.version += 1
        made = sorted(p for p in self.names.types if p.startswith(base + "/"))
        folders = [p for p in made if self.names.types[p] == "mkdir"]
        path = f"{self.rng.choice([base] + folders)}/{self.version}"
        verb = self.rng.choice(("mkdir", "create", "symlink", "link", "rename", "remove"))
        old = self.rng.choice(made) if made else None
        if verb in ("mkdir", "create", "symlink"):
            self.name(verb, path)
        elif old and verb == "rename":
            self.name("rename", old, f"{base}/{self.version}")
        elif old and verb == "link" and self.names.types[old] == "create":
            self.name("link", old, path)
        elif old and verb == "remove" and not any(p.startswith(old + "/") for p in made):
            self.name("rmdir" if old in folders else "unlink", old)

    def run(self):
        self.records.start()
        self.begin()
        works = (self.keep, self.replace, self.cut, self.overwrite, self.log) + \
            (self.change_names,) * 5
        while True:
            self.rng.choice(works)()


class Cutter(Writer):
    """Lets a checkpoint or two come between cutting a file to nothing and writing it anew."""

    def __init__(self, tree, records, seed, round_number):
        super().__init__(tree, records, seed, round_number)
        self.records = Records(records, "cut")
        self.home = f"cut{round_number}"

    def begin(self):
        self.name("mkdir", self.home)
        path = f"{self.home}/0"
        self.name("create", path)
        self.write(path, True)
        return path

    def run(self):
        self.records.start()
        path = self.begin()
        while True:
            self.version += 1
            self.records.add("write", path, self.version)
            fd = os.open(self.at(path), os.O_WRONLY | os.O_TRUNC)
            try:
                time.sleep(self.rng.uniform(0.5, 2))
                self.pieces(fd, content(self.seed, path, self.version))
            finally:
                os.close(fd)


class Copier:
    """Copies a tree that it makes up, and syncs some of its files."""

    def __init__(self, tree, records, seed, round_number):
        self.tree = tree
        self.records = Records(records, "copy")
        self.seed = seed
        self.home = f"copy{round_number}"
        self.rng = random.Random(f"{seed}/copy/{round_number}")

    def run(self):
        self.records.start()
        os.mkdir(os.path.join(self.tree, self.home))
        for number in range(100_000):
            folder = f"{self.home}/{number // 50}"
            path = f"{folder}/{number}"
            if number % 50 == 0:
                os.mkdir(os.path.join(self.tree, folder))
            self.records.add("copy", path)
            fd = os.open(os.path.join(self.tree, path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                data, done = content(self.seed, path, 0), 0
                while done < len(data):
                    done += os.write(fd, data[done:done + (128 << 10)])
                if self.rng.random() < 0.1:
                    os.fsync(fd)
                    self.records.add("synced", path)
            finally:
                os.close(fd)


def type_of(path):
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode):
        return "mkdir"
    if stat.S_ISLNK(mode):
        return "symlink"
    return "create"


def walk(top, home):
    """path -> type of all that is at ${home} below ${top}; it must all be readable."""
    if not os.path.lexists(os.path.join(top, home)):
        return {}
    found = {home: "mkdir"}
    for folder, folders, files in os.walk(os.path.join(top, home), onerror=raise_it):
        for name in folders + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, top)] = type_of(path)
    return found


def raise_it(error):
    raise error


class Verifier:
    def __init__(self, tree, records, seed, round_number):
        self.tree = tree
        self.folder = records
        self.seed = seed
        self.home = f"r{round_number}"
        self.copied = f"copy{round_number}"
        self.problems = []
        self.counts = {"synced": 0, "files": 0}

    def wrong(self, path, what):
        self.problems.append(f"{path}: {what}")

    def get(self, path):
        """None where there is no such file."""
        try:
            return read(os.path.join(self.tree, path))
        except FileNotFoundError:
            return None
        except OSError as error:
            self.wrong(path, f"can't be read: {error.strerror}")
            return None

    def names(self, lines, found):
        """What is found must be the names after one of the changes since the last sync."""
        names, synced, marks, matches = Names(), 0, [], []
        count = 0
        for line in lines:
            if line[0] == "syncing":
                marks.append(count)
            elif line[0] == "synced":
                synced = marks[-1]
            elif line[0] == "name":
                count += 1
        for index, line in enumerate([None] + [line for line in lines if line[0] == "name"]):
            if line:
                names.apply(*line[1:])
            if index >= synced and names.types == found:
                matches.append(index)
        if not matches:
            self.wrong(self.home, f"its names are those of no moment after change {synced} of {count}: "
                       f"{self.nearest(lines, found, synced)}")

    @staticmethod
    def nearest(lines, found, synced):
        names, best = Names(), None
        for index, line in enumerate(line for line in lines if line[0] == "name"):
            names.apply(*line[1:])
            if index + 1 < synced:
                continue
            too_few = sorted(set(names.types.items()) - set(found.items()))
            too_many = sorted(set(found.items()) - set(names.types.items()))
            if best is None or len(too_few) + len(too_many) < best[0]:
                best = (len(too_few) + len(too_many), index + 1, too_few[:5], too_many[:5])
        return f"nearest to it is {best[1]}, missing {best[2]}, beyond {best[3]}" if best else "none"

    @staticmethod
    def versions(lines):
        """path -> [versions from the last synced one on], and which have a synced one."""
        versions, synced = {}, set()
        for line in lines:
            if line[0] == "write":
                versions.setdefault(line[1], []).append(line[2])
            elif line[0] == "name" and line[1] == "rename" and line[2].endswith(".new"):
                versions[line[3]] += versions.pop(line[2])
                synced.discard(line[2])
            elif line[0] == "synced":
                for path in [p for p in versions if line[1] in ("", p)]:
                    del versions[path][:-1]
                    synced.add(path)
        return versions, synced

    def whole_files(self, lines):
        """Files of which only whole versions may be seen."""
        versions, synced = self.versions(lines)
        for path, allowed in versions.items():
            data = self.get(path)
            self.counts["files"] += 1
            self.counts["synced"] += path in synced
            wanted = [content(self.seed, path.removesuffix(".new"), v) for v in allowed]
            if data in wanted:
                continue
            if data is None and path not in synced:
                continue
            if path in synced:
                what = "it is not there" if data is None else \
                    f"{len(data)} bytes, {data[:40]!r}, are none of versions {allowed}"
                self.wrong(path, what)
            elif not any(in_part(data, w) for w in wanted + [b""]):
                self.wrong(path, f"{len(data)} bytes that it never had")

    def overwritten(self, lines):
        """Pages of any moment since the last sync, for the kernel writes them back as it likes."""
        path = f"{self.home}/over/0"
        now, pages = bytearray(), None
        for line in lines:
            if line[0] == "over":
                _, _, offset, length, version = line
                now[offset:offset + length] = \
                    random.Random(f"{self.seed}/over/{version}").randbytes(length)
                if pages:
                    for i in range(offset // PAGE, (offset + length - 1) // PAGE + 1):
                        pages[i].add(bytes(now[i * PAGE:(i + 1) * PAGE]))
            elif line[0] == "synced" and line[1] in ("", path):
                pages = [{bytes(now[i:i + PAGE])} for i in range(0, len(now), PAGE)]
        if not pages:
            return
        data = self.get(path) or b""
        if len(data) != len(now):
            self.wrong(path, f"{len(data)} bytes of {len(now)}")
        for i, page in enumerate(pages):
            if data[i * PAGE:(i + 1) * PAGE] not in page:
                self.wrong(path, f"page {i} is what it never was")

    def appended(self, lines):
        written = max((l[2] for l in lines if l[0] == "log"), default=0)
        size = synced = 0
        for line in lines:
            if line[0] == "log":
                size = line[2]
            elif line[0] == "synced" and line[1] == f"{self.home}/log":
                synced = size
        data = self.get(f"{self.home}/log")
        if data is None:
            if synced:
                self.wrong(f"{self.home}/log", "it is not there")
            return
        wanted = b"".join(b"%015d\n" % i for i in range(written // 16))
        if data[:synced] != wanted[:synced]:
            self.wrong(f"{self.home}/log", f"not the {synced} bytes that were synced")
        if not in_part(data, wanted):
            self.wrong(f"{self.home}/log", f"{len(data)} bytes that were never written")

    def copies(self, lines):
        synced = {line[1] for line in lines if line[0] == "synced"}
        started = [line[1] for line in lines if line[0] == "copy"]
        found = {p for p, t in walk(self.tree, self.copied).items() if t == "create"}
        for path in sorted(found - set(started)):
            self.wrong(path, "nobody made it")
        for path in started:
            data = self.get(path)
            wanted = content(self.seed, path, 0)
            self.counts["files"] += 1
            self.counts["synced"] += path in synced
            if path in synced and data != wanted:
                self.wrong(path, f"synced, and now {'gone' if data is None else f'{len(data)} bytes'}")
            elif data is not None and not in_part(data, wanted):
                self.wrong(path, f"{len(data)} bytes that it never had")

    def run(self):
        lines = Records(self.folder, "write").load()
        self.problems += [f"{line[1]}" for line in lines if line[0] == "error"]
        self.names(lines, walk(self.tree, self.home))
        self.whole_files(lines)
        self.overwritten(lines)
        self.appended(lines)
        lines = Records(self.folder, "copy").load()
        self.problems += [f"{line[1]}" for line in lines if line[0] == "error"]
        self.copies(lines)
        lines = Records(self.folder, "cut").load()
        self.problems += [f"{line[1]}" for line in lines if line[0] == "error"]
        self.whole_files(lines)
        print(*self.problems[:40], sep="\n")
        print(f"{self.counts['files']} files, {self.counts['synced']} of them synced, "
              f"{len(self.problems)} problems")
        return 1 if self.problems else 0


def in_part(data, wanted):
    """Is ${data} what a file has before all writes of ${wanted} have come?  They come in order of
    pages, or nearly: one that has not looks like a hole."""
    if len(data) > len(wanted):
        return False
    if wanted.startswith(data):
        return True
    return all(data[i:i + PAGE] == wanted[i:i + len(data[i:i + PAGE])] or not any(data[i:i + PAGE])
               for i in range(0, len(data), PAGE))


def mount_is_dead(mnt, device):
    """Within a few seconds: the kernel tells some callers a little before others, and what is then
    at its place is another file system."""
    for _ in range(250):
        try:
            if os.stat(mnt).st_dev != device:
                return True
        except OSError as error:
            if error.errno in (errno.ENOTCONN, errno.ECONNABORTED):
                return True
        time.sleep(0.02)
    return False


def main():
    verb, tree, records, seed, round_number = sys.argv[1:]
    work = {"write": Writer, "copy": Copier, "cut": Cutter, "verify": Verifier}[verb](
        tree, records, seed, int(round_number))
    if verb == "verify":
        return work.run()
    mnt = os.path.dirname(tree)
    device = os.stat(mnt).st_dev
    try:
        work.run()
    except OSError as error:
        if not mount_is_dead(mnt, device):
            work.records.add("error", f"{verb}: {error}")
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
