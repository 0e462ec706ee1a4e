"""attrs: attributes, ACLs and extended attributes.  attrs.py DIRECTORY."""
import os
import stat
import struct
import subprocess

import cases
from cases import NOBODY, as_nobody, error, fallocate, need_root, opened, read, same, write

CAPS = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service=ep


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def acl(path, *options):
    return subprocess.check_output(
        ["getfacl", "--omit-header", "--absolute-names", "--numeric", "--no-effective",
         *options, path], text=True).split()


def setfacl(*args):
    subprocess.check_call(["setfacl", *args])


def case_xattrs(d):
    """xattrs are set, read, listed, replaced and removed"""
    write("f")
    with error("ENODATA"):
        os.getxattr("f", "user.none")
    with error("ENODATA"):
        os.removexattr("f", "user.none")
    os.setxattr("f", "user.a", b"1")
    os.setxattr("f", "user.b", b"")
    os.setxattr("f", "user.a", b"22")
    same((os.getxattr("f", "user.a"), os.getxattr("f", "user.b")), (b"22", b""))
    same(sorted(os.listxattr("f")), ["user.a", "user.b"])
    os.removexattr("f", "user.a")
    same(os.listxattr("f"), ["user.b"])
    with error("ENODATA"):
        os.getxattr("f", "user.a")
    os.mkdir("dir")
    os.setxattr("dir", "user.d", b"x" * 1000)
    same(os.getxattr("dir", "user.d"), b"x" * 1000)


def case_xattr_flags(d):
    """XATTR_CREATE and XATTR_REPLACE do that"""
    write("f")
    with error("ENODATA"):
        os.setxattr("f", "user.a", b"1", os.XATTR_REPLACE)
    os.setxattr("f", "user.a", b"1", os.XATTR_CREATE)
    with error("EEXIST"):
        os.setxattr("f", "user.a", b"2", os.XATTR_CREATE)
    os.setxattr("f", "user.a", b"3", os.XATTR_REPLACE)
    same(os.getxattr("f", "user.a"), b"3")


def case_xattr_sizes(d):
    """values of almost 64 KiB fit, larger ones don't, and short buffers are ERANGE"""
    write("f")
    value = cases.noise(65000)
    os.setxattr("f", "user.large", value)
    same(os.getxattr("f", "user.large"), value)
    with error("ENOSPC"):
        os.setxattr("f", "user.more", bytes(5000))
    with error("E2BIG"):
        os.setxattr("f", "user.huge", bytes(65537))
    same(os.getxattr("f", "user.large"), value)
    os.setxattr("f", "user.large", b"12345")
    os.setxattr("f", "user.more", bytes(50000))
    buf = bytes(4)
    for function in (lambda: cases.LIBC.getxattr(b"f", b"user.large", buf, 4),
                     lambda: cases.LIBC.listxattr(b"f", buf, 4)):
        with error("ERANGE"):
            cases.called(function())
    same(cases.LIBC.getxattr(b"f", b"user.large", None, 0), 5)
    same(cases.LIBC.listxattr(b"f", None, 0), len("user.large") + len("user.more") + 2)
    with error("ERANGE", "ENAMETOOLONG"):
        os.setxattr("f", "user." + "n" * 251, b"")
    os.setxattr("f", "user." + "n" * 250, b"")
    for i in range(300):
        os.setxattr("f", f"user.{i}", b"%d" % i)
    same(len(os.listxattr("f")), 303)
    same(os.getxattr("f", "user.299"), b"299")


def case_xattr_spaces(d):
    """trusted. is for root, user. for files and directories, unknown ones are refused"""
    need_root()
    write("f")
    os.chmod("f", 0o666)
    os.symlink("f", "link")
    os.setxattr("f", "trusted.t", b"root's")
    os.setxattr("f", "user.u", b"anybody's")
    os.setxattr("link", "trusted.l", b"link's", follow_symlinks=False)
    same(os.listxattr("link", follow_symlinks=False), ["trusted.l"])
    with error("EPERM"):
        os.setxattr("link", "user.x", b"", follow_symlinks=False)
    with error("EOPNOTSUPP"):
        os.setxattr("f", "nowhere.x", b"")

    def nobody():
        same(os.getxattr("f", "user.u"), b"anybody's")
        with error("ENODATA", "EPERM"):
            os.getxattr("f", "trusted.t")
        with error("EPERM"):
            os.setxattr("f", "trusted.t", b"")

    as_nobody(nobody)


def case_xattr_ctime(d):
    """an xattr moves the ctime, not the mtime"""
    write("f")
    os.utime("f", ns=(7, 7))
    for step in (lambda: os.setxattr("f", "user.a", b"1"), lambda: os.removexattr("f", "user.a")):
        before = os.stat("f").st_ctime_ns
        cases.tick()
        step()
        assert os.stat("f").st_ctime_ns > before
        same(os.stat("f").st_mtime_ns, 7)


def case_link_xattrs(d):
    """all names of a file have its xattrs"""
    write("a")
    os.link("a", "b")
    os.setxattr("a", "user.x", b"y")
    same(os.getxattr("b", "user.x"), b"y")
    os.unlink("a")
    same(os.getxattr("b", "user.x"), b"y")


def case_acl(d):
    """an ACL sets the mode, chmod sets its mask, and it is enforced"""
    need_root()
    write("f", b"x")
    os.chmod("f", 0o600)
    setfacl("-m", f"u:{NOBODY}:r,g:4321:rw", "f")
    same(acl("f"), ["user::rw-", f"user:{NOBODY}:r--", "group::---", "group:4321:rw-",
                    "mask::rw-", "other::---"])
    same(mode("f"), 0o660)

    def reads():
        same(read("f"), b"x")
        with error("EACCES"):
            os.open("f", os.O_WRONLY)

    as_nobody(reads)
    os.chmod("f", 0o600)
    same(acl("f")[-2:], ["mask::---", "other::---"])

    def refused():
        with error("EACCES"):
            read("f")

    as_nobody(refused)
    os.chmod("f", 0o640)
    as_nobody(reads)
    setfacl("-b", "f")
    same(acl("f"), ["user::rw-", "group::---", "other::---"])
    same(mode("f"), 0o600)
    same(os.listxattr("f"), [])


def case_plain_acl(d):
    """an ACL that says no more than the mode is the mode"""
    write("f")
    setfacl("-m", "u::rw,g::r,o::-", "f")
    same((mode("f"), os.listxattr("f")), (0o640, []))


def case_default_acl(d):
    """a default ACL is inherited, and stands for the umask"""
    need_root()
    os.mkdir("dir")
    setfacl("-d", "-m", f"u::rwx,u:{NOBODY}:rwx,g::rx,o::-", "dir")
    same(mode("dir"), 0o755)
    old = os.umask(0o077)
    try:
        os.mkdir("dir/sub", 0o777)
        os.close(os.open("dir/f", os.O_CREAT | os.O_WRONLY, 0o666))
        os.close(os.open("dir/x", os.O_CREAT | os.O_WRONLY, 0o700))
    finally:
        os.umask(old)
    wanted = ["user::rwx", f"user:{NOBODY}:rwx", "group::r-x", "mask::rwx", "other::---"]
    same(acl("dir/sub", "--default"), wanted)
    same(acl("dir/sub", "--access"), wanted)
    same(acl("dir/f", "--access"), ["user::rw-", f"user:{NOBODY}:rwx", "group::r-x", "mask::rw-",
                                    "other::---"])
    same((mode("dir/sub"), mode("dir/f"), mode("dir/x")), (0o770, 0o660, 0o700))

    def nobody():
        with opened("dir/f", os.O_RDWR):
            pass
        with error("EACCES"):
            os.open("dir/x", os.O_RDONLY)

    os.chmod("dir", 0o755)
    as_nobody(nobody)
    setfacl("-k", "dir")
    same(acl("dir", "--default"), [])
    with error("EACCES"):
        os.setxattr("dir/f", "system.posix_acl_default",
                    os.getxattr("dir/sub", "system.posix_acl_default"))


def case_acl_hostile(d):
    """what is no ACL is refused"""
    write("f")
    good = struct.pack("<IHHIHHIHHI", 2, 1, 6, 0xffffffff, 4, 4, 0xffffffff, 32, 4, 0xffffffff)
    os.setxattr("f", "system.posix_acl_access", good)
    for bad in (b"x", good[:-1], good[4:], struct.pack("<I", 1) + good[4:], good[:12],
                good + good[4:12], good[:4] + good[12:] + good[4:12]):
        with error("EINVAL", "EOPNOTSUPP"):
            os.setxattr("f", "system.posix_acl_access", bad)
    same(mode("f"), 0o644)


def case_acl_setgid(d):
    """an ACL that one who is not in the group sets takes the set-gid bit"""
    need_root()
    write("f")
    os.chown("f", NOBODY, 4321)
    os.chmod("f", 0o2755)
    as_nobody(lambda: setfacl("-m", "u:1:r", "f"))
    same(mode("f") & 0o2000, 0)
    os.chmod("f", 0o2755)
    as_nobody(lambda: setfacl("-m", "u:2:r", "f"), groups=[4321])
    same(mode("f") & 0o2000, 0o2000)


def case_chmod(d):
    """chmod and chown move the ctime only"""
    need_root()
    write("f")
    os.mkdir("dir")
    for path in ("f", "dir"):
        for step in (lambda: os.chmod(path, 0o4751), lambda: os.chown(path, 12, -1),
                     lambda: os.chown(path, -1, 34)):
            os.utime(path, ns=(5, 5))
            before = os.stat(path).st_ctime_ns
            cases.tick()
            step()
            st = os.stat(path)
            assert st.st_ctime_ns > before
            same((st.st_atime_ns, st.st_mtime_ns), (5, 5))
        same((os.stat(path).st_uid, os.stat(path).st_gid), (12, 34))
    os.symlink("f", "link")
    os.lchown("link", 56, 78)
    same((os.lstat("link").st_uid, os.stat("f").st_uid), (56, 12))
    os.chown("f", 4294967294, 4294967294)
    same(os.stat("f").st_gid, 4294967294)


def case_times(d):
    """utimensat sets nanoseconds, before 1970 and far away, each time alone or to now"""
    write("f")
    for a, m in ((0, 1), (123456789, 10**18 + 999999999), (-1, -10**18), (2**62, 2**62 - 1)):
        os.utime("f", ns=(a, m))
        same((os.stat("f").st_atime_ns, os.stat("f").st_mtime_ns), (a, m))

    class Spec(cases.ctypes.Structure):
        _fields_ = [("sec", cases.ctypes.c_long), ("nsec", cases.ctypes.c_long)]

    now, omit = (1 << 30) - 1, (1 << 30) - 2
    os.utime("f", ns=(11, 22))
    cases.called(cases.LIBC.utimensat(-100, b"f", (Spec * 2)(Spec(0, omit), Spec(3, 4)), 0))
    same((os.stat("f").st_atime_ns, os.stat("f").st_mtime_ns), (11, 3 * 10**9 + 4))
    cases.called(cases.LIBC.utimensat(-100, b"f", (Spec * 2)(Spec(0, now), Spec(0, omit)), 0))
    assert os.stat("f").st_atime_ns > 10**18
    same(os.stat("f").st_mtime_ns, 3 * 10**9 + 4)
    with opened("f", os.O_RDWR) as fd:
        os.write(fd, b"x" * 100000)
        os.utime(fd, ns=(1, 2))
        os.fsync(fd)
        same((os.fstat(fd).st_atime_ns, os.fstat(fd).st_mtime_ns), (1, 2))
        before = os.fstat(fd).st_ctime_ns
        os.write(fd, b"y")
        os.fsync(fd)
        assert os.fstat(fd).st_mtime_ns > 2 and os.fstat(fd).st_ctime_ns >= before
    os.utime("f", ns=(1, 2))
    read("f")
    same((os.stat("f").st_atime_ns, os.stat("f").st_mtime_ns), (1, 2))


def case_write_times(d):
    """write and truncate move mtime and ctime, ftruncate to the same length too"""
    write("f", b"12345")

    def same_length():
        with opened("f", os.O_WRONLY) as fd:
            os.ftruncate(fd, 3)

    for step in (lambda: os.truncate("f", 3), same_length,
                 lambda: os.truncate("f", 10), lambda: write("f", b"x")):
        os.utime("f", ns=(1, 2))
        before = os.stat("f").st_ctime_ns
        step()
        st = os.stat("f")
        assert st.st_mtime_ns > 2 and st.st_ctime_ns >= before, (before, st)


def privileges(d, change):
    """What becomes of set-id bits when another user does change(fd)."""
    results = []
    for bits in (0o6777, 0o2767):
        write("f", b"x" * 10000)
        os.chmod("f", bits)

        def nobody():
            with opened("f", os.O_RDWR) as fd:
                change(fd)

        as_nobody(nobody)
        results.append(mode("f"))
    return results


def case_privileges(d):
    """set-id bits go when another user changes the content, whatever the way"""
    need_root()
    ways = {
        "write": lambda fd: os.write(fd, b"y"),
        "pwrite at the end": lambda fd: os.pwrite(fd, b"y" * 5000, 10000),
        "truncate": lambda fd: os.ftruncate(fd, 5),
        "O_TRUNC": lambda fd: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)),
        "fallocate": lambda fd: fallocate(fd, 0, 0, 20000),
        "punch": lambda fd: fallocate(fd, 3, 0, 5000),
        "copy_file_range": lambda fd: os.copy_file_range(fd, fd, 10, 0, 5000),
    }
    for name, change in ways.items():
        same(privileges(d, change)[0], 0o777, name)
    same(privileges(d, lambda fd: os.read(fd, 10))[0], 0o6777)


def case_privileges_of_root(d):
    """root's writes leave set-id bits alone"""
    need_root()
    write("f")
    os.chmod("f", 0o6755)
    with opened("f", os.O_WRONLY) as fd:
        os.write(fd, b"x")
    same(mode("f"), 0o6755)


def case_chown_privileges(d):
    """chown takes set-id bits, but not from directories"""
    need_root()
    write("f")
    os.chmod("f", 0o6755)
    os.chown("f", NOBODY, NOBODY)
    same(mode("f"), 0o755)
    os.chmod("f", 0o6755)
    as_nobody(lambda: os.chown("f", -1, 4321), groups=[4321])
    same((mode("f"), os.stat("f").st_gid), (0o755, 4321))
    os.mkdir("dir")
    os.chmod("dir", 0o6755)
    os.chown("dir", NOBODY, NOBODY)
    same(mode("dir"), 0o6755)
    os.chmod("f", 0o755)
    as_nobody(lambda: os.chmod("f", 0o2755))
    same(mode("f"), 0o755, "chmod by one who is not in the group")


def case_capabilities(d):
    """security.capability goes with a write, a truncate and a chown"""
    need_root()
    ways = {
        "write": lambda: write("f", b"y"),
        "append": lambda: subprocess.check_call("echo x >>f", shell=True),
        "truncate": lambda: os.truncate("f", 1),
        "chown": lambda: os.chown("f", 1, 1),
    }
    for name, change in ways.items():
        write("f", b"x" * 100)
        try:
            os.setxattr("f", "security.capability", CAPS)
        except OSError as e:
            raise cases.Skip(str(e)) from e
        same(os.getxattr("f", "security.capability"), CAPS)
        os.setxattr("f", "user.stays", b"1")
        change()
        same(os.listxattr("f"), ["user.stays"], name)


def case_capabilities_kept(d):
    """security.capability stays when the file is read, renamed or linked"""
    need_root()
    write("f", b"x" * 100)
    try:
        os.setxattr("f", "security.capability", CAPS)
    except OSError as e:
        raise cases.Skip(str(e)) from e
    read("f")
    os.rename("f", "g")
    os.link("g", "h")
    os.chmod("h", 0o700)
    same(os.getxattr("g", "security.capability"), CAPS)


cases.run(globals())
