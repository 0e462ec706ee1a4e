"""Where a row is run: a mount of dhtfs or nullfs, or a plain directory of the disk."""
import os
import shutil
import subprocess
import time

from benchlib.place import B, WORK, benchio, run

BOUND_S = 120
TICKS = os.sysconf("SC_CLK_TCK")


def settle():
    """What earlier steps left to be written must not be written during this one."""
    os.sync()


class System:
    def __init__(self, name):
        self.name = name
        self.process = None
        self.base = os.path.join(WORK, name)
        self.root = os.path.join(self.base, "mnt")
        self.file = os.path.join(self.root, "file")
        self.tree = os.path.join(self.root, "tree")
        self.options = []
        self.cpu_s = None  # that its process took during the last thing timed

    def start(self):
        os.makedirs(self.root, exist_ok=True)
        if self.name == "disk":
            return
        options = ["--store", os.path.join(self.base, "store")] if self.name == "dhtfs" else self.options
        with open(os.path.join(self.base, "log"), "ab") as log:
            self.process = subprocess.Popen([os.path.join(B, self.name), "-f", *options, self.root],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + BOUND_S
        while not self.mounted():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not mount: {self.log_end()}")
            time.sleep(0.01)
        os.stat(self.root)

    def log_end(self):
        with open(os.path.join(self.base, "log"), encoding="utf-8", errors="replace") as log:
            return " / ".join(log.read().splitlines()[-3:]) or "its log is empty"

    def mounted(self):
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            return any(line.split()[4] == self.root for line in table)

    def stop(self):
        if self.process is None:
            return
        run("fusermount3", "-u", self.root)
        status = self.process.wait(BOUND_S)
        self.process = None
        if status != 0:
            raise RuntimeError(f"{self.name} ended with status {status}: {self.log_end()}")

    def remove(self):
        """Whatever state it is in, also one that an earlier bench was killed in: nothing of it stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        while self.mounted():
            if subprocess.run(["fusermount3", "-uz", self.root], check=False).returncode != 0:
                run("umount", "-l", self.root)
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

    def memory(self, *fields):
        """In bytes; of dhtfs."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            found = {line.split(":")[0]: line.split()[1] for line in file if line.endswith("kB\n")}
        return sum(int(found[field]) << 10 for field in fields)

    def cpu(self):
        if self.process is None:
            return 0.0
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

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
