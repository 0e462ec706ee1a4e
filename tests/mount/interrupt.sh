#!/bin/bash
# Nobody is stuck: who waits for a disk that hangs can be killed, others go on, and the mount can be
# taken away in every way in which people do that.
. "$(dirname "$0")/../lib/mount.sh"
helpers=$(cd "$(dirname "$0")/helpers" && pwd)
export STALL_DIR=$TEST_DIR/stall
mkdir "$STALL_DIR"
# The sanitizers' runtime wants to be the first library; here it may be the second.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0

# The disk of the mount that is started so hangs at "stall NAME" and goes on at "release".
built mount-helpers mount/helpers/stall.so
start_on_slow_disk() { LD_PRELOAD=$B/tests/mount/helpers/stall.so mount_start "$@"; }
stall() { touch "$STALL_DIR/$1"; }
release() { rm -f "$STALL_DIR"/*; }
stalled() { [ -e "$STALL_DIR/$1.waits" ]; }
trap 'release; mount_cleanup' EXIT

# ends NAME PID: it is killed, and gone soon.
ends() {
	kill -KILL "$2"
	ok "$1" wait_until 3 process_gone "$2" || return
	wait "$2" 2>/dev/null
}
# A process that nobody has waited for yet is gone all the same.
process_gone() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
	stat=${stat##*) }
	[ "${stat%% *}" = Z ]
}
mount_is_gone() { ! mount_is_there; }
unmount() { if [ "$(id -u)" = 0 ]; then umount "$MNT"; else fusermount3 -u "$MNT"; fi; }
others_go_on() {
	timeout 5 stat "$MNT/other" && timeout 5 cat "$MNT/other" && timeout 5 ls -l "$MNT" &&
	    timeout 5 mkdir "$MNT/dir$1" && timeout 5 sh -c "echo new >$MNT/dir$1/new" &&
	    timeout 5 getfattr -n user.dhtfs.address "$MNT/other"
}

ok 'it mounts' start_on_slow_disk
echo other >"$MNT/other"
head -c 3000000 /dev/urandom >"$TEST_DIR/random"
cp "$TEST_DIR/random" "$MNT/file" && sync "$MNT/file" "$MNT/other"
cat "$MNT/other" >/dev/null

# fsync.
stall fdatasync
for what in "dd if=/dev/urandom of=$MNT/synced bs=100k count=10 conv=fsync status=none" \
    "sync $MNT/file2" "sync $MNT" "getfattr -n user.dhtfs.address $MNT"; do
	head -c 100000 /dev/urandom >"$MNT/file2"
	$what >/dev/null 2>&1 &
	pid=$!
	ok 'the disk hangs' wait_until 10 stalled fdatasync
	ok "so does ${what%% *}" kill -0 "$pid"
	ends 'it can be killed' "$pid"
done
ok 'meanwhile others read and write' others_go_on 1
release
ok 'then fsync works again' timeout 30 sync "$MNT/file2" "$MNT"

# Unmounting, which is not the process's end.
stall fdatasync
echo last >"$MNT/last"
ok 'the disk hangs' wait_until 10 stalled fdatasync
ok 'the mount can be taken away' timeout 10 fusermount3 -u "$MNT"
ok 'the process waits for the disk' kill -0 "$(mount_pid)"
release
ok 'and ends well when that goes on' mount_ended

# read: nothing in any cache.
ok 'it mounts again' start_on_slow_disk
is 'with what was written last' "$(cat "$MNT/last")" last
cat "$MNT/other" >/dev/null
stall pread
pids=()
for _ in {1..20}; do
	cat "$MNT/file" >/dev/null 2>&1 &
	pids+=($!)
done
ok 'the disk hangs' wait_until 10 stalled pread
ok 'meanwhile others read and write' others_go_on 2
ends 'a reader can be killed' "${pids[0]}"
for pid in "${pids[@]:1:18}"; do kill -KILL "$pid"; done
for pid in "${pids[@]:1:18}"; do wait "$pid" 2>/dev/null; done
release
ok 'the last reader gets what it asked for' wait "${pids[19]}"
ok 'all of it' cmp "$MNT/file" "$TEST_DIR/random"
pids=()
for i in {1..60}; do
	case $((i % 3)) in
	0) cat "$MNT/file" >/dev/null 2>&1 & ;;
	1) dd if=/dev/zero of="$MNT/storm$i" bs=64k count=50 conv=fsync status=none 2>/dev/null & ;;
	2) getfattr -n user.dhtfs.address "$MNT" >/dev/null 2>&1 & ;;
	esac
	pids+=($!)
	[ "$((i % 4))" != 0 ] || kill -KILL "${pids[RANDOM % i]}" 2>/dev/null
done
kill -KILL "${pids[@]}" 2>/dev/null
wait "${pids[@]}" 2>/dev/null
ok 'after a storm of killed processes it works' cmp "$MNT/file" "$TEST_DIR/random"
ok 'and ends well' mount_stop

# write: at the bound of dirty bytes.
ok 'with little memory' start_on_slow_disk --dirty-max 4M
echo other >"$MNT/other" && sync "$MNT/other"
stall pwrite
python3 "$helpers/noise.py" "$MNT/other noise" 30 &
other=$!
python3 "$helpers/noise.py" "$MNT/noise" 100 &
pid=$!
ok 'the disk hangs' wait_until 10 stalled pwrite
ends 'a writer can be killed at the bound' "$pid"
ok 'meanwhile others look' timeout 5 ls -l "$MNT"
release
ok 'then another goes on' wait "$other"
ok 'and so do new ones' timeout 30 cp "$TEST_DIR/random" "$MNT/after"
ok 'as it should' cmp "$MNT/after" "$TEST_DIR/random"
ok 'it unmounts' mount_stop

# Signals, with a file open and bytes not yet flushed.
for signal in TERM INT HUP; do
	ok 'it mounts' mount_start
	exec 5>"$MNT/open$signal"
	cat "$TEST_DIR/random" >&5
	kill -"$signal" "$(mount_pid)"
	ok "SIG$signal ends it, with a file open" mount_ended
	ok 'and the mount is gone' mount_is_gone
	exec 5>&-
	mount_start
	ok 'what was written is there' cmp "$MNT/open$signal" "$TEST_DIR/random"
	ok 'it unmounts' mount_stop
done 2>/dev/null

# Unmounting while somebody is there.
ok 'it mounts' mount_start
cd "$MNT" || bail_out 'no mount'
exec 5>busy
fails 'unmounting while it is busy is refused' 'busy' fusermount3 -u "$MNT"
ok 'and it goes on' cmp file "$TEST_DIR/random"
ok 'lazily it goes' fusermount3 -uz "$MNT"
ok 'the mount is gone from the table' mount_is_gone
cat "$TEST_DIR/random" >&5
ok 'who is inside goes on' cmp file "$TEST_DIR/random"
exec 5>&-
ok 'the process is there while somebody is' kill -0 "$(mount_pid)"
cd /
ok 'and ends when they have left' mount_ended
ok 'it mounts' mount_start
ok 'what was written last is there' cmp "$MNT/busy" "$TEST_DIR/random"

# Idle.
ticks() { awk '{ print $14 + $15 }' "/proc/$(mount_pid)/stat"; }
sync "$MNT"
# still SECONDS: no tick in as many of the kernel's own.
still() {
	local until t
	until=$(($(cut -d. -f1 /proc/uptime) + $1))
	t=$(ticks)
	wait_until $(($1 + 10)) past "$until" && [ $(($(ticks) - t)) -le 1 ]
}
past() { [ "$(cut -d. -f1 /proc/uptime)" -gt "$1" ]; }
idle_s=3
[ -z "${SOAK:-}" ] || idle_s=50
ok 'it comes to rest and takes no time' wait_until 60 still "$idle_s"
ok 'and answers' cmp "$MNT/file" "$TEST_DIR/random"
ok 'umount(8) unmounts it too' unmount
ok 'and it ends well' mount_ended
done_testing
