"""backwards: copy a file from its end to its start, over other bytes.  backwards.py FROM TO"""
import os
import sys

with open(sys.argv[1], "rb") as f:
    data = f.read()
with open(sys.argv[2], "wb") as f:
    f.write(b"other" * (len(data) // 4))
    f.flush()
    os.fsync(f.fileno())
    for end in range(len(data), 0, -70001):
        first = max(0, end - 70001)
        f.seek(first)
        f.write(data[first:end])
    f.truncate(len(data))
