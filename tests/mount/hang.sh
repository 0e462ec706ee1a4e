#!/bin/bash
# A disk that hangs while the tree is committed: whatever operation waits for it can be killed, and
# the mount can be taken away.
. "$(dirname "$0")/../lib/mount.sh"
helpers=$(cd "$(dirname "$0")/helpers" && pwd)
export STALL_DIR=$TEST_DIR/stall
mkdir "$STALL_DIR"
# The sanitizers' runtime wants to be the first library; here it may be the second.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
[ -w /proc/sys/vm/drop_caches ] || { skip 'operations on a disk that hangs' 'only root makes the kernel forget'; done_testing; }

built mount-helpers mount/helpers/stall.so
start_on_slow_disk() { LD_PRELOAD=$B/tests/mount/helpers/stall.so mount_start "$@"; }
release() { rm -f "$STALL_DIR"/*; }
trap 'release; mount_cleanup' EXIT
# hang: the tree's disk hangs, and a commit waits for it.
hang() {
	touch "$STALL_DIR/tree.fdatasync"
	mkdir "$MNT/change$1" && wait_until 10 test -e "$STALL_DIR/tree.fdatasync.waits"
}
mount_is_gone() { ! mount_is_there; }
is_gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; }
# Somebody who waits, or came too late and met the folder below.
start_waiter() { mkdir "$MNT/waits" 2>/dev/null & waiter=$!; }
end_waiter() {
	kill -KILL "$waiter" 2>/dev/null
	wait "$waiter" 2>/dev/null
	[ ! -d "$MNT/waits" ] || rmdir "$MNT/waits"
}

ok 'it mounts' start_on_slow_disk
cases timeout 100 python3 "$helpers/hang.py" "$MNT" "$STALL_DIR"
ok 'it unmounts' mount_stop

# Unmounting.
ok 'it mounts' start_on_slow_disk
ok 'the disk hangs' hang 1
start_waiter
ok 'the mount can be taken away lazily' timeout 10 fusermount3 -uz "$MNT"
ok 'it is gone' mount_is_gone
end_waiter
release
ok 'the process ends when the disk goes on' mount_ended
ok 'it mounts' start_on_slow_disk
ok 'nothing was lost' test -d "$MNT/change1"

ok 'the disk hangs' hang 2
ok 'the mount can be taken away' timeout 10 fusermount3 -u "$MNT"
release
ok 'the process ends when the disk goes on' mount_ended
ok 'it mounts' start_on_slow_disk
ok 'nothing was lost' test -d "$MNT/change2"

exec 5<"$MNT/known"
ok 'the disk hangs' hang 3
start_waiter
kill -TERM "$(mount_pid)"
ok 'SIGTERM takes the mount away, with a file open' wait_until 40 mount_is_gone
exec 5<&-
end_waiter
release
ok 'the process ends when the disk goes on' mount_ended
ok 'it mounts' start_on_slow_disk
ok 'nothing was lost' test -d "$MNT/change3"
ok 'it unmounts' mount_stop

# A signal that counts later goes along with the request that was kept, and waits on where that waits.
export STALL_DIR=$TEST_DIR/stall-kept
mkdir "$STALL_DIR"
ok 'it mounts' start_on_slow_disk
head -c 100000 /dev/urandom >"$MNT/large"
sync "$MNT/large"
address=$(getfattr --absolute-names --only-values -n user.dhtfs.address "$MNT/large")
ok 'it unmounts' mount_stop
ok 'it mounts' start_on_slow_disk
exec 6<"$MNT/by-hash"
ok 'the disk hangs' hang 4
python3 - "$address" <<'END' 2>/dev/null &
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: None)
os.stat(sys.argv[1], dir_fd=6)
END
waiter=$!
waits() { grep -qs fuse "/proc/$waiter/wchan" "/proc/$waiter/stack"; }
has_signal() { ! grep -q '^ShdPnd:.0*$' "/proc/$waiter/status"; }
ok 'a lookup waits' wait_until 10 waits
kill -TERM "$waiter"
ok 'it has a signal' wait_until 10 has_signal
touch "$STALL_DIR/segment.pread"
rm "$STALL_DIR/tree.fdatasync"
ok 'it waits for the other disk' wait_until 10 test -e "$STALL_DIR/segment.pread.waits"
kill -KILL "$waiter"
ok 'it can be killed there' wait_until 15 is_gone "$waiter"
exec 6<&-
release
ok 'it unmounts' mount_stop

# A process that is killed while one of its own threads waits for the kernel's dirty pages, which nobody will write.
export STALL_DIR=$TEST_DIR/stall-data
mkdir "$STALL_DIR"
ok 'it mounts' start_on_slow_disk --dirty-max 4M
touch "$STALL_DIR/segment.pwrite"
python3 - "$MNT/sparse" <<'END' 2>/dev/null &
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(fd, os.urandom(24 << 20))
os.lseek(fd, 0, os.SEEK_HOLE)
END
waiter=$!
calls_pages_in() { grep -qs folio_wait "/proc/$(mount_pid)/task/"*/wchan "/proc/$(mount_pid)/task/"*/stack; }
ok 'a seek has the pages called in' wait_until 20 calls_pages_in
kill -KILL "$(mount_pid)"
ok 'who waited for the mount is gone' wait_until 15 is_gone "$waiter"
release
mount_kill
ok 'it mounts' start_on_slow_disk
ok 'it unmounts' mount_stop
done_testing
