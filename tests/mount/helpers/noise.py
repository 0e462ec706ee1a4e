"""noise: write so many MiB of random bytes past the kernel's cache.  noise.py FILE MIB"""
import mmap
import os
import sys

buf = mmap.mmap(-1, 1 << 20)
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_DIRECT)
for i in range(int(sys.argv[2])):
    buf[:] = os.urandom(1 << 20)
    os.write(fd, buf)
