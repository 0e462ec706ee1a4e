"""What is measured: a function a row, which prepares, times one thing, and checks what came of it."""
import os
import subprocess
import time

from benchlib.place import (DATA, FILES, REPOSITORY, REPOSITORY_FILES, SIZE, TEXT, TREE, benchio, benchio_all,
                            run)
from benchlib.row import Limit, Row

MIB = 1 << 20
TIB = 1 << 40
READS, WRITES = 4000, 200
REGION = 16 * MIB  # fits into dhtfs's cache of decoded chunks, which is 32 MiB unless said otherwise
TAR_TO_CAT = 'tar -cf - -C "$1" . | cat >/dev/null'  # into /dev/null itself, tar would read nothing
IDLE_S = 10


def with_file(system):
    system.fresh()
    benchio("write", DATA, system.file, MIB, "fsync")
    system.settle()


def with_tree(system):
    system.fresh()
    run("cp", "-r", TREE, system.tree)
    system.settle()


def write_checked(system, *how, data=DATA):
    system.fresh()
    took = system.io("write", data, system.file, *how)
    system.check("cmp", data, system.file)
    return took


def write(system):
    return write_checked(system, MIB)


def write_fsync(system):
    """And what the same takes without fsync."""
    plain = write_checked(system, MIB)
    return write_checked(system, MIB, "fsync"), plain


def write_4k(system):
    return write_checked(system, 4096)


def write_again(system):
    with_file(system)
    took = system.io("write", DATA, system.file + ".2", MIB)
    system.check("cmp", DATA, system.file + ".2")
    return took


def write_text(system):
    """And what the same takes for data that does not compress."""
    plain = write_checked(system, MIB)
    return write_checked(system, MIB, data=TEXT), plain


def read_cold(system):
    with_file(system)
    system.cold()
    took = system.io("read", system.file, MIB)
    system.check("cmp", DATA, system.file)
    return took


def read_warm(system):
    with_file(system)
    benchio("read", system.file, MIB)
    return system.io("read", system.file, MIB)


def random_cold(system):
    with_file(system)
    system.cold()
    return system.io("random-read", system.file, READS)


def random_warm(system):
    with_file(system)
    return system.io("random-read", system.file, READS, REGION)


def random_fsync(system):
    with_file(system)
    return system.io("random-write", system.file, WRITES)


def cp_within(system):
    """And what it takes to read and write every byte."""
    with_file(system)
    through = benchio("copy", system.file, system.file + ".2")
    os.unlink(system.file + ".2")
    system.settle()
    took = system.seconds("cp", system.file, system.file + ".3")
    system.check("cmp", DATA, system.file + ".3")
    return took, through


def cp_tree(system):
    system.fresh()
    run("sh", "-c", TAR_TO_CAT, "sh", TREE)  # so that all of it is in the page cache
    took = system.seconds("cp", "-r", TREE, system.tree)
    system.check("diff", "-r", "--no-dereference", TREE, system.tree)
    return took


def tar_tree(system):
    with_tree(system)
    system.cold()
    return system.seconds("sh", "-c", TAR_TO_CAT, "sh", system.tree)


def find_tree(system):
    with_tree(system)
    system.cold()
    return system.seconds("find", system.tree, "-printf", "%s\n", stdout=subprocess.DEVNULL)


def rm_tree(system):
    with_tree(system)
    return system.seconds("rm", "-r", system.tree)


def git_clone(system):
    """git reads back what it writes: this nullfs keeps it, in memory."""
    system.fresh("-o", "keep")
    took = system.seconds("git", "clone", "-q", REPOSITORY, system.tree)
    system.check("git", "-C", system.tree, "diff", "--quiet", "HEAD")
    return took


def million(system, folders):
    """The last tenth of them, and the first."""
    system.fresh()
    first, last = benchio_all("create", system.tree, folders, FILES)
    return last, first


def tib(system):
    with_file(system)
    benchio("clone", system.file, TIB // SIZE - 1)
    system.settle()
    system.cold()


def tib_time(system):
    tib(system)
    return system.io("open-read", system.file)


def tib_memory(system):
    """By how much it grows, the file mappings of its tables included."""
    tib(system)
    before = system.memory("RssAnon", "RssFile")
    benchio("open-read", system.file)
    return system.memory("RssAnon", "RssFile") - before


def memory_idle(system):
    million(system, 1000)
    system.settle()
    time.sleep(IDLE_S)
    return system.memory("RssAnon")


def million_in_folders(system):
    return million(system, 1000)


def million_in_one(system):
    return million(system, 1)


MB = SIZE / 1e6
TENTH = FILES // 10
FILES_WORDS = f"{FILES:,} files"
ROWS = [
    Row("write", "write, 1 MiB writes, close", write, 0.55, "null", "MB/s", MB),
    Row("write-fsync", "the same with fsync", write_fsync, 0.8, "own or disk", "MB/s", MB),
    Row("write-4k", "write, 4 KiB writes", write_4k, 0.5, "null", "MB/s", MB),
    Row("write-again", "write what the set has", write_again, 0.5, "null", "MB/s", MB),
    Row("write-text", "write lines of source", write_text, 0.8, "own", "MB/s", MB),
    Row("read-cold", "read, cold", read_cold, 0.35, "lower", "MB/s", MB, cold=True),
    Row("read-warm", "read, warm", read_warm, 0.95, "null", "MB/s", MB),
    Row("random-cold", "random 4 KiB reads, cold", random_cold, 0.08, "null", "/s", READS, cold=True),
    Row("random-warm", "random 4 KiB reads, decoded", random_warm, 0.7, "null", "/s", READS),
    Row("random-fsync", "random 4 KiB writes, fsync each", random_fsync, 0.15, "disk", "/s", WRITES),
    Row("cp", "cp -r of the tree", cp_tree, 1 / 1.3, "null", "s"),
    Row("tar", "tar it out, cold", tar_tree, 1 / 2.0, "null", "s", cold=True),
    Row("find", "find -printf %s, cold", find_tree, 1 / 1.5, "null", "s", cold=True),
    Row("rm", "rm -r", rm_tree, 1 / 1.5, "null", "s"),
    Row("git-clone", f"git clone, {REPOSITORY_FILES:,} files", git_clone, 1 / 1.5, "null", "s"),
    Row("cp-within", "cp of the file in the mount", cp_within, 20, "own", "s"),
    Row("million", f"{FILES_WORDS}, 1,000 folders", million_in_folders, 0.8, "own", "/s", TENTH, once=True),
    Row("million-one", f"{FILES_WORDS}, one folder", million_in_one, 0.8, "own", "/s", TENTH, once=True),
    Limit("tib", "open and read in 1 TiB, cold", tib_time, 5e-3, "ms", 1e3, cold=True),
    Limit("tib-memory", "memory that this takes", tib_memory, 5 * MIB, "MiB", 1 / MIB, cold=True),
    Limit("memory", f"memory after {FILES_WORDS}", memory_idle, 64 * MIB, "MiB", 1 / MIB, once=True),
]
