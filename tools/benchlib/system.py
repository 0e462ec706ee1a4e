"""Where a row is run: a mount of dhtfs or nullfs, or a plain directory of the disk."""
import os
import shutil
import subprocess
import time

from benchlib.place import B, WORK, benchio, run
from benchlib.process import BOUND_S, Process


def settle():
    """What earlier steps left to be written must not be written during this one."""
    os.sync()


class System(Process):
    def __init__(self, name):
        base = os.path.join(WORK, name)
        super().__init__(name, base, os.path.join(base, "mnt"))
        self.file = os.path.join(self.root, "file")
        self.tree = os.path.join(self.root, "tree")
        self.options = []
        self.cpu_s = None  # that its process took during the last thing timed

    def start(self):
        os.makedirs(self.root, exist_ok=True)
        if self.name == "disk":
            return
        options = ["--store", os.path.join(self.base, "store")] if self.name == "dhtfs" else self.options
        self.begin(os.path.join(B, self.name), "-f", *options, self.root)
        deadline = time.monotonic() + BOUND_S
        while not self.mounted():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not mount: {self.log_end()}")
            time.sleep(0.01)
        os.stat(self.root)

    def remove(self):
        self.kill()
        shutil.rmtree(self.base, ignore_errors=True)

    def fresh(self, *options):
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)
        settle()
        self.options = options
        self.start()

    def settle(self):
        """Until nothing is left to do for what was done: a sync alone does not reach a FUSE filesystem."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)
        settle()

    def cold(self):
        """Nothing cached: not by the kernel, and not by dhtfs.  nullfs keeps its tree in memory, which is
        all that it has."""
        if self.name == "dhtfs":
            self.stop()
        settle()
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3")
        for tool in ("tar", "find", "cat", os.path.join(B, "benchio")):
            subprocess.run([tool, "--version"], check=False, capture_output=True)
        if self.name == "dhtfs":
            self.start()

    def check(self, *command):
        """What dhtfs kept, not what the kernel still has of it."""
        if self.name == "dhtfs":
            self.stop()
            self.start()
            run(*command)

    def io(self, *args):
        """benchio's answer."""
        before = self.cpu()
        answer = benchio(*args)
        self.cpu_s = self.cpu() - before
        return answer

    def seconds(self, *command, **options):
        before, start = self.cpu(), time.perf_counter()
        run(*command, **options)
        took = time.perf_counter() - start
        self.cpu_s = self.cpu() - before
        return took
