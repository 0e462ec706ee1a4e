#!/bin/bash
# Trouble that passes: a disk that fails, no memory, no descriptors, locks.  Who asks gets an errno, all
# else is served, and when it has passed everything works, without a remount.
. "$(dirname "$0")/../lib/mount.sh"
helpers=$(cd "$(dirname "$0")/helpers" && pwd)
export STALL_DIR=$TEST_DIR/stall NOMEM=$TEST_DIR/nomem
mkdir "$STALL_DIR"
printf '\0' >"$NOMEM"
# The sanitizers' runtime wants to be the first library; here it may be the second.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
bound_s=30

built mount-helpers mount/helpers/stall.so mount/helpers/nomem.so
start_with() { LD_PRELOAD=$B/tests/mount/helpers/$1.so mount_start "${@:2}"; }
breaks() { echo "${2:-5}" >"$STALL_DIR/$1.fails"; }
heals() { rm -f "$STALL_DIR"/*; }
served() {
	timeout $bound_s cmp "$MNT/known" "$TEST_DIR/known" && timeout $bound_s ls -l "$MNT" >/dev/null &&
	    timeout $bound_s mkdir "$MNT/made" && timeout $bound_s rmdir "$MNT/made"
}
synced() { timeout $bound_s sync "$MNT/$1" 2>/dev/null; }
number=0
# Bytes that the set does not have yet.
fresh() {
	number=$((number + 1))
	head -c 3000000 /dev/urandom >"$TEST_DIR/random$number"
}
# after_fault NAME: what was written meanwhile is there, and still is after a crash.
after_fault() {
	heals
	ok "$1: fsync works when it has passed" wait_until $bound_s synced "new$number"
	ok "$1: so does that of a directory" timeout $bound_s sync "$MNT"
	mount_kill
	ok "$1: it mounts after a crash" start_with stall
	ok "$1: all of it is there" cmp "$MNT/new$number" "$TEST_DIR/random$number"
	ok "$1: and what was made meanwhile" test -d "$MNT/dir$number"
}

head -c 300000 /dev/urandom >"$TEST_DIR/known"
fresh
random=$TEST_DIR/random1
ok 'it mounts' start_with stall
cp "$TEST_DIR/known" "$MNT/known"
sync "$MNT/known" "$MNT"

# What a commit of the tree writes and syncs, its meta page at the end among them; the bytes of chunks.
for fault in 'tree.fdatasync' 'tree.fdatasync 28' 'tree.pwrite' \
    'segment.pwrite' 'segment.fdatasync' 'fdatasync'; do
	fresh
	# shellcheck disable=SC2086
	breaks $fault
	ok "$fault fails: a directory is made" timeout $bound_s mkdir "$MNT/dir$number"
	ok "$fault fails: a file is written" timeout $bound_s cp "$TEST_DIR/random$number" "$MNT/new$number"
	case $fault in
	*28) fails "$fault fails: fsync says so" 'No space left' timeout $bound_s sync "$MNT/new$number" ;;
	*) fails "$fault fails: fsync says so" 'Input/output error' timeout $bound_s sync "$MNT/new$number" ;;
	esac
	ok "$fault fails: others are served" served
	after_fault "$fault"
done
# Each write of a commit in turn, once.
for nth in {1..4}; do
	fresh
	mkdir "$MNT/dir$number"
	cp "$TEST_DIR/random$number" "$MNT/new$number"
	breaks tree.pwrite "5 $nth"
	timeout $bound_s sync "$MNT/new$number" 2>/dev/null
	ok "write $nth of a commit failed: others are served" served
	after_fault "write $nth of a commit failed"
done

# Reads: nothing is in any cache.
cp "$random" "$MNT/old"
ok 'it unmounts' mount_stop
ok 'it mounts with cold caches' start_with stall
breaks segment.pread
fails 'reads fail: a reader is told' 'Input/output error' timeout $bound_s cat "$MNT/old"
ok 'reads fail: names are served' timeout $bound_s ls -l "$MNT"
ok 'reads fail: a file is written' timeout $bound_s cp "$random" "$MNT/meanwhile"
heals
ok 'then it can be read' cmp "$MNT/old" "$random"
ok 'and so can what was written' cmp "$MNT/meanwhile" "$random"
ok 'it unmounts' mount_stop

# Descriptors: the mount's do not grow with those of who uses it, and without any it goes on.
ok 'it mounts' mount_start
descriptors() { find "/proc/$(mount_pid)/fd" -type l | wc -l; }
cat "$MNT/known" >/dev/null
before=$(descriptors)
many_open() {
	python3 - "$MNT" "$(mount_pid)" <<'PYTHON'
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
files = [open(f"{sys.argv[1]}/many{i % 100}", "a+") for i in range(2000)]
print(len(os.listdir(f"/proc/{sys.argv[2]}/fd")))
PYTHON
}
ok '2,000 open files need few of the mount' test "$(many_open)" -lt $((before + 20))
diag "descriptors: $before"
if command -v prlimit >/dev/null; then
	limit=$(ulimit -n)
	prlimit --pid "$(mount_pid)" --nofile=3:
	ok 'no descriptors: a file is written' timeout $bound_s cp "$random" "$MNT/poor"
	ok 'no descriptors: and synced' timeout $bound_s sync "$MNT/poor"
	ok 'no descriptors: others are served' served
	fails 'no descriptors: dhtctl is told' '' timeout $bound_s "$B/dhtctl" --store "$STORE" status
	prlimit --pid "$(mount_pid)" --nofile="$limit:"
	ok 'then dhtctl works again' timeout $bound_s "$B/dhtctl" --store "$STORE" status
	ok 'and so does a snapshot' timeout $bound_s sync "$MNT"
else
	skip 'no descriptors' 'there is no prlimit'
fi
ok 'it unmounts' mount_stop
few() { (ulimit -n 64 && mount_start_and_use); }
mount_start_and_use() { mount_start && cp "$random" "$MNT/few" && sync "$MNT" && mount_stop; }
ok 'with 64 descriptors it works' few

# Locks are the kernel's own.
ok 'it mounts' mount_start
cases timeout 100 python3 "$helpers/lockers.py" "$MNT" "$(mount_pid)"
ok 'it unmounts' mount_stop

# Memory.
case $B in *address* | *thread* | *undefined*)
	skip 'no memory' 'the sanitizers have their own'
	done_testing ;;
esac
no_memory() { python3 -c 'import sys; open(sys.argv[1], "r+b").write(bytes([int(sys.argv[2])]))' "$NOMEM" "$1"; }
ok 'it mounts' start_with nomem
for chance in 2 6 20; do
	no_memory $chance
	for i in {1..40}; do
		timeout $bound_s cp "$TEST_DIR/known" "$MNT/short$i"
		timeout $bound_s mkdir "$MNT/shortdir$i"
		timeout $bound_s mv "$MNT/short$i" "$MNT/shortdir$i/moved"
		timeout $bound_s cmp "$TEST_DIR/known" "$MNT/known"
		timeout $bound_s sync "$MNT/shortdir$i/moved"
		timeout $bound_s rm -r "$MNT/short$i" "$MNT/shortdir$i"
	done >/dev/null 2>&1
	no_memory 0
	ok "$chance of 256 calls have no memory: the process is there" kill -0 "$(mount_pid)"
	rm -rf "$MNT"/short*
	ok 'then all is served' served
	ok 'a file is written' cp "$random" "$MNT/after$chance"
	ok 'and synced' wait_until $bound_s synced "after$chance"
	ok 'and is right' cmp "$MNT/after$chance" "$random"
	ok 'and so is what was there' cmp "$MNT/old" "$random"
done
ok 'it unmounts' mount_stop
done_testing
