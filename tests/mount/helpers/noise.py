"""noise: write so many MiB, no two alike, past the kernel's cache.  noise.py FILE MIB"""
import mmap
import os
import sys

buf = mmap.mmap(-1, 1 << 20)
buf[:] = os.urandom(1 << 20)
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_DIRECT)
for i in range(int(sys.argv[2])):
    for place in range(0, 1 << 20, 16384):
        buf[place:place + 8] = os.urandom(8)
    os.write(fd, buf)
