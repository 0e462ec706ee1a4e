"""Nodes of a ring on loopback addresses, each a process of its own: dhtfs with a mount, or dhtd."""
import json
import os
import shutil
import subprocess
import threading
import time

from benchlib.place import B, WORK, run
from benchlib.process import BOUND_S, Process

LOOK_S = 0.05
BESIDE_CACHE = ("RssAnon", "RssShmem", "VmSwap")
BASE = os.path.join(WORK, "cluster")
RING = os.path.join(BASE, "ring")


def program(name):
    return os.path.join(B, name)


def await_true(what, condition, bound_s=BOUND_S, pause_s=0.02):
    """How long it took."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > bound_s:
            raise RuntimeError(f"not within {bound_s} s: {what}")
        time.sleep(pause_s)
    return time.monotonic() - start


class Node(Process):
    def __init__(self, number, mounts=False, options=()):
        base = os.path.join(BASE, f"node{number}")
        super().__init__(f"node{number}", base, os.path.join(base, "mnt") if mounts else None)
        self.address = f"127.0.{1 + number // 200}.{1 + number % 200}"
        self.store = os.path.join(self.base, "store")
        self.options = list(options)

    def path(self, *names):
        return os.path.join(self.root, *names)

    def start(self, join=None):
        os.makedirs(self.root or self.base, exist_ok=True)
        command = [program("dhtfs" if self.root else "dhtd"), "-f", "--store", self.store, "--ring", RING,
                   "--listen", self.address, *(["--join", join.address] if join else []), *self.options]
        self.begin(*command, *([self.root] if self.root else []))
        await_true(f"{self.name} starts: {self.base}/log", self.answers)

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with status {self.process.returncode}: {self.log_end()}")
        return (not self.root or self.mounted()) and self.status() is not None

    def status(self):
        """None: it does not answer."""
        done = subprocess.run([program("dhtctl"), "--store", self.store, "--json", "status"], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def lose_store(self):
        """All but the node's key: the machine is the same, its disk is new."""
        for name in os.listdir(self.store):
            path = os.path.join(self.store, name)
            if name == "format":
                with open(path, "w", encoding="ascii") as file:
                    file.write(f"dhtfs store\nformat 1\nid {os.urandom(8).hex()}\n")
            elif name != "node.key":
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


class Peak:
    """The most memory, beside the page cache, that one of some nodes was seen to have, from another thread."""

    def __init__(self, nodes):
        self.nodes, self.bytes, self.over = nodes, 0, threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.wait(LOOK_S):
            self.bytes = max([self.bytes, *(node.memory(*BESIDE_CACHE) for node in self.nodes if node.process)])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()


class Ring:
    def __init__(self, nodes):
        self.nodes = nodes

    def make(self):
        self.remove()
        os.makedirs(BASE)
        run(program("dhtctl"), "ring", "create", RING, stdout=subprocess.DEVNULL)

    def start(self):
        self.make()
        self.join()

    def join(self):
        for node in self.nodes:
            node.start(join=self.nodes[0] if node is not self.nodes[0] else None)

    def agreed(self):
        """All know of all, and nobody is down or taken as such."""
        found = [node.status() for node in self.nodes]
        return all(s and s.get("members", len(self.nodes)) == len(self.nodes) and s.get("members_down", 0) == 0
                   for s in found)

    def remove(self):
        for node in self.nodes:
            node.kill()
        shutil.rmtree(BASE, ignore_errors=True)

    def cpu(self):
        return sum(node.cpu() for node in self.nodes)
