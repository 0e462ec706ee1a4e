"""damage: what a disk, or a person, can do to a store that nobody has mounted.

    damage.py tree FOLDER SEED                      make files of many sizes, all different
    damage.py records STORE                         one a line: address segment offset end kind
    damage.py flip STORE ADDRESS header|bytes       change a byte of each record of a chunk
    damage.py point STORE ADDRESS SEGMENT OFFSET    the ledger is to say that it lies there
    damage.py garbage FILE FROM SEED                overwrite a file from byte FROM on
    damage.py readable FOLDER                       b2sum of each file, or the error of reading it

dht/DESIGN.md has the bytes of a segment and of the ledger.
"""
import glob
import hashlib
import os
import random
import struct
import sys

HEADER = 64
MAGIC = b"dhr1"


def records(store):
    """(address, segment's path and number, offset, end, kind) of every record with a good magic."""
    for path in sorted(glob.glob(os.path.join(store, "segment-*"))):
        with open(path, "rb") as file:
            data = file.read()
        at = 0
        while at + HEADER <= len(data):
            if data[at:at + 4] != MAGIC:
                at += HEADER
                continue
            kind, stored = data[at + 5], struct.unpack_from("<I", data, at + 12)[0]
            end = at + (HEADER + stored + HEADER - 1) // HEADER * HEADER
            yield data[at + 16:at + 48].hex(), path, int(path[-8:], 16), at, end, kind
            at = end


def tree(folder, seed):
    rng = random.Random(seed)
    for name, count, low, high in (("small", 60, 1, 30_000), ("large", 6, 300_000, 2_000_000)):
        os.makedirs(os.path.join(folder, name))
        for i in range(count):
            size = rng.randrange(low, high)
            data = rng.randbytes(size) if i % 2 else (b"%d " % rng.randrange(1 << 60)) * (size // 8 + 1)
            with open(os.path.join(folder, name, str(i)), "wb") as file:
                file.write(data[:size])


def flip_at(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def flip(store, address, where):
    found = [r for r in records(store) if r[0] == address]
    for _, path, _, offset, _, _ in found:
        flip_at(path, offset + (9 if where == "header" else HEADER))
    return 0 if found else 1


def point(store, address, segment, offset):
    """Every page that ever held this entry, for one of them is the page that counts."""
    path, key = os.path.join(store, "ledger"), bytes.fromhex(address)
    with open(path, "r+b") as file:
        data = file.read()
        found = at = data.find(key)
        while at >= 0:
            file.seek(at + len(key))
            file.write(struct.pack("<II", int(segment), int(offset)))
            at = data.find(key, at + 1)
    return 0 if found >= 0 else 1


def garbage(path, start, seed):
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(int(start))
        file.write(random.Random(seed).randbytes(size - int(start)))


def readable(folder):
    os.chdir(folder)
    for path in sorted(glob.glob("**", recursive=True)):
        if not os.path.isfile(path):
            continue
        try:
            with open(path, "rb") as file:
                print(path, hashlib.blake2b(file.read(), digest_size=32).hexdigest())
        except OSError as error:
            print(path, error.strerror)


def main():
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == "records":
        for address, _, segment, offset, end, kind in records(*args):
            print(address, segment, offset, end, kind)
        return 0
    return {"tree": tree, "flip": flip, "point": point, "garbage": garbage,
            "readable": readable}[verb](*args) or 0


if __name__ == "__main__":
    sys.exit(main())
