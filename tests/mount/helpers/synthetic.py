"""synthetic: a tree with all kinds of files.  synthetic.py DIRECTORY, which it makes."""
import os
import random
import socket
import sys

top = sys.argv[1]
rng = random.Random(7)
os.makedirs(top)
os.chdir(top)


def write(path, data=b"", mode=0o644):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


write("empty")
write("one byte", b"x")
write("large", rng.randbytes(5 << 20))
write("text", b"all work and no play\n" * 50000)
write("zeros", bytes(300000))
for mode in (0o000, 0o444, 0o600, 0o755, 0o1644):
    write(f"mode{mode:o}", b"%o" % mode, mode)
for name in (b"n" * 255, b"new\nline", b" ", b"\xff\xfe", b"-rf", "\u00fc\u4e16".encode(), b"..."):
    write(name, name)

write("sparse")
with open("sparse", "r+b") as f:
    f.truncate(50 << 20)
    for place in (0, 10 << 20, (50 << 20) - 3):
        f.seek(place)
        f.write(b"abc")

os.makedirs("dir/sub/sub")
os.mkdir("empty dir")
write("dir/one", rng.randbytes(100000))
os.link("dir/one", "dir/sub/two")
os.link("dir/one", "three")
os.symlink("dir/one", "link")
os.symlink("../" * 50 + "y" * 3000, "long link")
os.symlink("nowhere", "dangling")
os.link("dangling", "second name of a link", follow_symlinks=False)
os.mkfifo("fifo", 0o620)
with socket.socket(socket.AF_UNIX) as s:
    s.bind("socket")

write("xattrs", b"x")
os.setxattr("xattrs", "user.text", b"some text")
os.setxattr("xattrs", "user.binary", rng.randbytes(3000))
os.setxattr("xattrs", "user.empty", b"")
os.setxattr("dir", "user.dir", b"on a directory")

if os.geteuid() == 0:
    os.mknod("null", 0o20666, os.makedev(1, 3))
    os.mknod("block", 0o60660, os.makedev(259, 70000))
    write("setuid", b"s")
    os.chmod("setuid", 0o4755)
    write("owned", b"o")
    os.chown("owned", 12345, 54321)
    os.lchown("dangling", 12345, 54321)
    os.setxattr("owned", "trusted.secret", b"t")
os.mkdir("sticky", 0o1777)
os.chmod("sticky", 0o3777)

# Times in nanoseconds, before 1970 and far away; the innermost last, for each makes its parent's.
times = [0, 1, 10**18 + 123456789, -5 * 10**8, 4 * 10**18 + 999999999]
for directory, dirs, files in os.walk(".", topdown=False):
    for i, name in enumerate(sorted(dirs + files)):
        ns = times[i % len(times)]
        os.utime(os.path.join(directory, name), ns=(ns, ns), follow_symlinks=False)
