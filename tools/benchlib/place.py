"""What bench works with: its settings, its folders and files, the data that it makes once, the machine."""
import contextlib
import fcntl
import os
import shutil
import subprocess

B = os.path.abspath(os.environ.get("B", "build"))
RUNS = int(os.environ.get("RUNS", 5))
SIZE = int(os.environ.get("SIZE_MIB", 1024)) << 20
FILES = int(os.environ.get("FILES", 1000000))
TREE = os.path.abspath(os.environ.get("TREE", "/usr/include"))
OUT = os.path.join(B, "bench")
WORK = os.path.abspath(os.environ.get("BENCH_DIR", os.path.join(OUT, "work")))
DATA, TEXT, TAR, REPOSITORY = (os.path.join(WORK, name) for name in ("data", "text", "tar", "repository.git"))
REPOSITORY_FILES = 10000
HOLD_MAX = 12 << 30
TOOLS = ("git", "tar", "find", "cp", "cmp", "diff", "sync", "fusermount3", "umount")


def run(*command, **options):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **options)


def benchio_all(*args):
    output = subprocess.check_output([os.path.join(B, "benchio"), *map(str, args)], stdin=subprocess.DEVNULL)
    return [float(word) for word in output.split()]


def benchio(*args):
    return benchio_all(*args)[0]


def missing():
    """What bench can't do without."""
    yield from (tool for tool in TOOLS if not shutil.which(tool))
    yield from (path for path in (os.path.join(B, name) for name in ("dhtfs", "nullfs", "benchio"))
                if not os.access(path, os.X_OK))
    if not os.path.isdir(TREE):
        yield TREE + " (TREE)"
    os.makedirs(WORK, exist_ok=True)
    free = os.statvfs(WORK)
    if free.f_bavail * free.f_frsize < 8 * SIZE:
        yield f"free space in {WORK}: {8 * SIZE >> 20} MiB (BENCH_DIR, SIZE_MIB)"


def lock():
    """One bench at a time in one folder.  The file is the lock while it is open."""
    file = open(os.path.join(WORK, "lock"), "w", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError(f"another bench is at work in {WORK}") from None
    return file


@contextlib.contextmanager
def held_memory():
    """Meanwhile a process has touched most of the free memory, and keeps it from going back to the host.

    A virtual machine may get a page from its host only when that is first touched, which makes a write to
    the page cache four times slower, and may give back what is free again.  Whoever comes first would pay."""
    with open("/proc/meminfo", encoding="ascii") as file:
        free = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemFree:"))
    size = min(free * 6 // 10, HOLD_MAX)
    holder = subprocess.Popen([os.path.join(B, "benchio"), "hold", str(size >> 20)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if not holder.stdout.readline():
            raise RuntimeError("memory could not be touched")
        yield
    finally:
        holder.kill()
        holder.communicate()


def make_repository():
    if os.path.exists(os.path.join(REPOSITORY, "made")):
        return
    tree = os.path.join(WORK, "repository")
    for folder in (tree, REPOSITORY):
        shutil.rmtree(folder, ignore_errors=True)
    with open(TEXT, "rb") as text:
        for i in range(REPOSITORY_FILES):
            folder = os.path.join(tree, f"d{i // 100:02d}")
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"f{i:05d}.c"), "wb") as file:
                file.write(text.read(1000 + i % 100 * 100))
    git = ["git", "-C", tree, "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    run(*git, "init", "-q")
    run(*git, "add", ".")
    run(*git, "commit", "-q", "-m", "files")
    run("git", "clone", "-q", "--bare", tree, REPOSITORY)
    shutil.rmtree(tree)
    with open(os.path.join(REPOSITORY, "made"), "wb"):
        pass


def make_data():
    """Once; it stays for the next run."""
    if not os.path.exists(DATA) or os.path.getsize(DATA) != SIZE:
        run(os.path.join(B, "benchio"), "data", DATA, str(SIZE >> 20), "1")
    if not os.path.exists(TEXT) or os.path.getsize(TEXT) != SIZE:
        run("tar", "-cf", TAR, "-C", TREE, ".")
        run(os.path.join(B, "benchio"), "data", TEXT, str(SIZE >> 20), "2", TAR)
        os.unlink(TAR)
    make_repository()


def disk_type():
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        mounts = [(line.split()[4], line.split(" - ")[1].split()[0]) for line in table]
    at_or_above = [m for m in mounts if WORK == m[0] or WORK.startswith(m[0].rstrip("/") + "/")]
    return max(at_or_above, key=lambda m: len(m[0]))[1]


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")
    files = sum(len(names) for _, _, names in os.walk(TREE))
    return (f"{os.cpu_count()} cores, {model}, Linux {os.uname().release}; file of {SIZE >> 20} MiB, "
            f"tree of {files:,} files")
