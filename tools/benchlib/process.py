"""A process that is measured, where its files are, and the mount that it may be."""
import os
import subprocess

from benchlib.place import run

BOUND_S = 120
TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    def __init__(self, name, base, root):
        self.name = name
        self.base = base
        self.root = root  # where it is mounted; None: it is no mount
        self.process = None  # None: it does not run

    def log_end(self):
        with open(os.path.join(self.base, "log"), encoding="utf-8", errors="replace") as log:
            return " / ".join(log.read().splitlines()[-3:]) or "its log is empty"

    def mounted(self):
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            return any(line.split()[4] == self.root for line in table)

    def begin(self, *command):
        with open(os.path.join(self.base, "log"), "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self):
        if self.process is None:
            return
        if self.root:
            run("fusermount3", "-u", self.root)
        else:
            self.process.terminate()
        status = self.process.wait(BOUND_S)
        self.process = None
        if status != 0:
            raise RuntimeError(f"{self.name} ended with status {status}: {self.log_end()}")

    def kill(self):
        """Whatever state it is in, also one that an earlier bench was killed in."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        while self.root and self.mounted():
            if subprocess.run(["fusermount3", "-uz", self.root], check=False).returncode != 0:
                run("umount", "-l", self.root)

    def cpu(self):
        if self.process is None:
            return 0.0
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, *names):
        """In bytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            found = {line.split(":")[0]: line.split()[1] for line in file if line.endswith("kB\n")}
        return sum(int(found[name]) << 10 for name in names)
