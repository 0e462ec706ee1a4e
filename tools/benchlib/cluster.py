"""What bench-cluster measures: three nodes that keep copies (R = 3), one of them a mount that writes, and a mount that keeps
none and reads.  So what the reader reads is on other nodes only."""
import os
import random
import shutil
import statistics
import subprocess
import time

from benchlib.aim import Aim
from benchlib.node import RING, Node, Peak, Ring, await_true, program
from benchlib.place import DATA, SIZE, TREE, WORK, benchio, run
from benchlib.system import System, settle

MIB = 1 << 20
SMALL, SMALL_FILES = 4096, 1000
MEMBERS = 100
IDLE_S = 30
ADDRESSES = int(os.environ.get("ADDRESSES", 10000000))
LACKING = ADDRESSES // 100  # of them, at one of two owners
TAR_TO_CAT = 'tar -cf - -C "$1" . | cat >/dev/null'  # into /dev/null itself, tar would read nothing
PARTS = 4  # files of half of SIZE: what a node loses


class Bench:
    def __init__(self):
        self.writer = Node(0, mounts=True)
        self.keepers = [Node(1), Node(2)]
        self.reader = Node(3, mounts=True, options=["--no-store"])
        self.ring = Ring([self.writer, *self.keepers, self.reader])
        self.many = Ring([Node(number) for number in range(4, 4 + MEMBERS)])
        self.full = [Node(number) for number in range(200, 202)]
        self.user = Node(202, mounts=True, options=["--no-store"])
        self.filled = Ring([*self.full, self.user])
        self.null = System("nullfs")
        self.cpu_s = None

    def remove(self):
        self.filled.remove()
        self.many.remove()
        self.ring.remove()
        self.null.remove()

    def fresh(self):
        """A ring that has nothing."""
        self.null.stop()
        self.ring.start()
        await_true("one ring", self.ring.agreed)
        settle()

    def stop(self):
        self.ring.remove()

    def seconds(self, function, *args):
        before, start = self.ring.cpu(), time.perf_counter()
        function(*args)
        took = time.perf_counter() - start
        self.cpu_s = self.ring.cpu() - before
        return took

    def address(self, *names):
        return subprocess.check_output(["getfattr", "--absolute-names", "--only-values", "-n", "user.dhtfs.address",
                                        self.writer.path(*names)]).decode()

    def by_hash(self, *names):
        return self.reader.path("by-hash", self.address(*names))

    def leased(self):
        """What follows a write by itself, leases and proofs, must not happen during what is measured."""
        run("sync", self.writer.root)
        for node in self.keepers:
            held = node.status()["records_owned"]
            await_true("all of it is leased", lambda n=node, h=held: n.status()["leased"] >= h, pause_s=0.2)

    def cold(self):
        """The reader has nothing, nor has the kernel of what the others read from their disks."""
        run("sync", self.writer.root)
        self.reader.stop()
        self.reader.lose_store()
        settle()
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3")
        self.reader.start(join=self.writer)
        await_true("the reader is back", self.ring.agreed)
        for tool in ("tar", "cat"):
            subprocess.run([tool, "--version"], check=False, capture_output=True)

    def with_null(self):
        self.ring.remove()
        self.null.fresh()
        return self.null


def rate(size, seconds):
    return size / seconds / 1e6


def write(bench):
    bench.fresh()
    took = bench.seconds(benchio, "write", DATA, bench.writer.path("file"), MIB, "fsync")
    bench.cold()
    run("cmp", DATA, bench.by_hash("file"))
    null = bench.with_null()
    return rate(SIZE, took), rate(SIZE, benchio("write", DATA, null.file, MIB, "fsync"))


def read(bench):
    bench.fresh()
    benchio("write", DATA, bench.writer.path("file"), MIB, "fsync")
    bench.leased()
    bench.cold()
    path = bench.by_hash("file")
    took = bench.seconds(benchio, "read", path, MIB)
    run("cmp", DATA, path)
    null = bench.with_null()
    benchio("write", DATA, null.file, MIB, "fsync")
    return rate(SIZE, took), rate(SIZE, benchio("read", null.file, MIB))


def copy_in(root):
    run("cp", "-r", TREE, os.path.join(root, "tree"))
    run("sync", root)


def copy(bench):
    bench.fresh()
    took = bench.seconds(copy_in, bench.writer.root)
    null = bench.with_null()
    start = time.perf_counter()
    copy_in(null.root)
    return took, time.perf_counter() - start


def tar_out(path):
    run("sh", "-c", TAR_TO_CAT, "sh", path)


def tar(bench):
    bench.fresh()
    copy_in(bench.writer.root)
    bench.leased()
    bench.cold()
    path = bench.by_hash("tree")
    took = bench.seconds(tar_out, path)
    run("diff", "-r", "--no-dereference", TREE, path)
    null = bench.with_null()
    copy_in(null.root)
    start = time.perf_counter()
    tar_out(null.tree)
    return took, time.perf_counter() - start


def read_small(path):
    start = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        found = len(file.read(2 * SMALL))
    took = time.perf_counter() - start
    if found != SMALL:
        raise RuntimeError(f"{path}: {found} bytes")
    return took * 1e3


def small(bench):
    """Milliseconds, each file alone."""
    bench.fresh()
    folder = bench.writer.path("small")
    os.mkdir(folder)
    for i in range(SMALL_FILES):
        with open(os.path.join(folder, str(i)), "wb") as file:
            file.write(random.randbytes(SMALL))
    run("sync", bench.writer.root)
    paths = [bench.by_hash("small", str(i)) for i in range(SMALL_FILES)]
    bench.leased()
    bench.cold()
    return sorted(read_small(path) for path in paths)


def small_median(bench):
    return statistics.median(small(bench))


def small_slow(bench):
    return small(bench)[SMALL_FILES * 99 // 100]


def lose_one(bench):
    """Of a node that has as much as the writer.  The reader is cold."""
    parts = [f"part{i}" for i in range(PARTS)]
    bench.fresh()
    for i, part in enumerate(parts):
        source = os.path.join(WORK, part)
        run(program("benchio"), "data", source, str(SIZE // 2 // MIB), str(10 + i))
        benchio("write", source, bench.writer.path(part), MIB, "fsync")
        os.unlink(source)
    lost = bench.keepers[-1]
    bench.leased()  # only that is repaired
    held = lost.status()["records_owned"]
    bench.cold()
    lost.stop()
    lost.lose_store()
    return lost, held, [bench.by_hash(part) for part in parts]


def full_again(lost, held):
    status = lost.status()
    return status["records_owned"] >= held and status["slots_incomplete"] == 0


def repair(bench):
    lost, held, _ = lose_one(bench)
    lost.start(join=bench.writer)
    return rate(PARTS * SIZE / 2, bench.seconds(await_true, "3 copies", lambda: full_again(lost, held), 600))


def repair_reads(bench):
    """How much of their rate reads keep meanwhile."""
    lost, held, paths = lose_one(bench)
    alone = benchio("read", paths[0], MIB)
    lost.start(join=bench.writer)
    await_true("repair begins", lambda: lost.status()["records_owned"] > 0)
    during = []
    for path in paths[1:]:
        took = benchio("read", path, MIB)
        if full_again(lost, held):
            break
        during.append(took)
    if not during:
        raise RuntimeError("the repair was over before a file was read")
    return alone / statistics.median(during)


def join_many(bench):
    bench.stop()
    shutil.rmtree(os.path.dirname(bench.many.nodes[0].base), ignore_errors=True)
    bench.many.start()
    return await_true("one ring of many", bench.many.agreed, 300, 0.5)


def many_views(bench):
    """Seconds from when the last one was started."""
    took = join_many(bench)
    bench.many.remove()
    return took


def many_idle(bench):
    join_many(bench)
    time.sleep(IDLE_S)
    before = bench.many.cpu()
    time.sleep(IDLE_S)
    used = bench.many.cpu() - before
    bench.many.remove()
    return 100 * used / IDLE_S


def fill(nodes):
    """Each has all addresses, and their leases, but the last one LACKING of the records.  Some of the addresses."""
    fillings = []
    for node in nodes:
        os.makedirs(node.store)
        lacking = [str(LACKING)] if node is nodes[-1] else []
        fillings.append(subprocess.Popen([program("storefill"), node.store, RING, str(ADDRESSES), *lacking],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True))
    shown = [filling.communicate()[0].split() for filling in fillings]  # the same
    if any(filling.returncode for filling in fillings):
        raise RuntimeError("a store could not be filled")
    return shown[0]


def all_there(node):
    status = node.status()
    return status["records_owned"] >= ADDRESSES and status["slots_incomplete"] == 0


def memory(bench):
    """Of the node that has more, at any time: from its start, while the two compare what they have and one gets what it lacks, are read from and
    written to, and afterwards."""
    bench.stop()
    bench.filled.make()
    shown = fill(bench.full)
    with Peak(bench.full) as peak:
        bench.filled.join()
        await_true("all of it at both", lambda: all(map(all_there, bench.full)), 600, 0.5)
        for address in shown:
            with open(bench.user.path("by-hash", address), "rb") as file:
                file.read()
        benchio("write", DATA, bench.user.path("file"), MIB, "fsync")
        time.sleep(IDLE_S)
    bench.filled.remove()
    return peak.bytes / MIB


AIMS = [
    Aim("write", f"write {SIZE // MIB} MiB until fsync says 3 copies", write, 150, "MB/s", least=True, digits=0),
    Aim("read", "read it, all of it on other nodes, cold", read, 300, "MB/s", least=True, digits=0),
    Aim("copy", "cp -r of the tree until synced to the ring", copy, 4, "s"),
    Aim("tar", "tar of it from other nodes, cold", tar, 3, "s"),
    Aim("fetch", "one file of 4 KiB by hash, median", small_median, 1, "ms", digits=2),
    Aim("fetch-slow", "the same, the slowest but 1 %", small_slow, 5, "ms", digits=2),
    Aim("repair", f"a node's {PARTS * SIZE // 2 // MIB} MiB lost: back at 3 copies", repair, 100, "MB/s", least=True, digits=0),
    Aim("repair-reads", "reads meanwhile, of their rate", repair_reads, 0.7, "x", least=True, digits=2),
    Aim("many", f"{MEMBERS} dhtd: all views equal", many_views, 30, "s", once=True),
    Aim("many-idle", f"{MEMBERS} dhtd: idle, of one core", many_idle, 10, "%", once=True),
    Aim("memory", f"of a node with {ADDRESSES:,} addresses, beside the page cache", memory, 128, "MiB", once=True),
]
