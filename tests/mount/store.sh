#!/bin/bash
# A store that can't be used is refused, with what to do about it; and a mount that only reads.
. "$(dirname "$0")/../lib/mount.sh"
disk=$TEST_DIR/disk
# Before the mounts on it are ended, for that can fail; it goes when they do.
trap 'status=$?; umount -l "$disk" 2>/dev/null; (exit $status); mount_cleanup' EXIT

# refused NAME TEXT STORE [MOUNTPOINT]: dhtfs ends by itself, in time, not with 0, and says TEXT.
refused() {
	fails "$1" "$2" timeout 50 "$MOUNT_PROGRAM" -f --store "$3" "${4:-$TEST_DIR/there}"
}
mkdir "$TEST_DIR/there"

ok 'a store is made' mount_start
echo kept >"$MNT/file"
mkdir "$MNT/folder"
sync "$MNT/file"

# Locked: it waits for 30 s, while the other tests run.
timeout 50 "$MOUNT_PROGRAM" -f --store "$STORE" "$TEST_DIR/there" >"$TEST_DIR/locked" 2>&1 &
locked=$!
locked_pid=$(mount_pid)
locked_since=$SECONDS
mkdir "$TEST_DIR/soon"
mount_use handover
ok 'another store is made' mount_start
echo handed >"$MNT/file"
exec 3<"$MNT/file"
umount -l "$MNT"
"$MOUNT_PROGRAM" -f --store "$STORE" "$TEST_DIR/soon" >"$TEST_DIR/soon.log" 2>&1 3<&- &
soon=$!
ok 'who comes while another still unmounts says that he waits' \
	wait_until 20 grep -q 'waiting' "$TEST_DIR/soon.log"
exec 3<&-
ok 'the other ends' mount_ended
ok 'and then it is mounted' wait_until 30 test -e "$TEST_DIR/soon/file"
is 'with all that was written' "$(cat "$TEST_DIR/soon/file")" handed
fusermount3 -u "$TEST_DIR/soon"
ok 'it ends well' wait "$soon"

# Not ours.
mkdir "$TEST_DIR/photos" && echo x >"$TEST_DIR/photos/1.jpg"
refused 'a folder that is no store is not made one' '1.jpg' "$TEST_DIR/photos"
is 'and nothing is put into it' "$(ls "$TEST_DIR/photos" | xargs)" '1.jpg'
echo x >"$TEST_DIR/plain"
refused 'a file is no store' "$TEST_DIR/plain" "$TEST_DIR/plain"
refused 'nor is a folder in a folder that is not there' "$TEST_DIR/no/store" "$TEST_DIR/no/store"

# The other's store is unmounted, and still good.
cp -a --sparse=always "$STORE" "$TEST_DIR/next"
sed -i 's/^format .*/format 7/' "$TEST_DIR/next/format"
refused 'a store of another format version is refused' 'format 7' "$TEST_DIR/next"
cp -a --sparse=always "$STORE" "$TEST_DIR/torn"
: >"$TEST_DIR/torn/format"
refused 'one whose format file is empty says what to do' 'dhtctl rebuild' "$TEST_DIR/torn"

# Where.
mkdir "$STORE/inside"
refused 'a mount point in the store is refused' 'within the store' "$STORE" "$STORE/inside"
refused 'so is the store itself' 'is the store itself' "$STORE" "$STORE"
refused 'and a store in the mount point' 'would hide it' "$TEST_DIR/there/store"
mkdir "$TEST_DIR/elsewhere" && ln -s "$STORE/inside" "$TEST_DIR/elsewhere/link"
refused 'also behind a symlink' 'within the store' "$STORE" "$TEST_DIR/elsewhere/link"
rmdir "$STORE/inside"
refused 'a mount point that is not there is refused' 'mkdir' "$STORE" "$TEST_DIR/nowhere"
refused 'one that is a file' 'not a directory' "$STORE" "$TEST_DIR/plain"
refused 'one that is not empty' 'nonempty' "$STORE" "$TEST_DIR/photos"
ok 'unless it is asked for' bash -c '
	"$1" -o nonempty --store "$2" "$3" && test -e "$3/file" && fusermount3 -u "$3"' \
	- "$MOUNT_PROGRAM" "$STORE" "$TEST_DIR/photos"

# Who.
if [ "$(id -u)" = 0 ]; then
	nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	cp "$MOUNT_PROGRAM" "$B/dhtctl" "$TEST_DIR"
	mkdir -m 777 "$TEST_DIR/theirs"
	fails 'a store of somebody else is refused' 'belongs to somebody else' \
		"${nobody[@]}" "$TEST_DIR/dhtctl" --store "$STORE" rebuild
	if "${nobody[@]}" test -w /dev/fuse; then
		fails 'by dhtfs too' 'belongs to somebody else' timeout 50 \
			"${nobody[@]}" "$TEST_DIR/dhtfs" -f --store "$STORE" "$TEST_DIR/theirs"
	else
		skip 'by dhtfs too' 'here only root can mount'
	fi
else
	skip 'a store of somebody else is refused' 'only root can try'
fi

# Only reading.
ok 'it mounts read-only' mount_start -o ro
is 'and reads' "$(cat "$MNT/file")" handed
for command in "touch $MNT/new" "mkdir $MNT/new" "rm $MNT/file" "mv $MNT/file $MNT/new" "chmod 600 $MNT/file" \
	"truncate -s 0 $MNT/file" "ln $MNT/file $MNT/new" "setfattr -n user.a -v b $MNT/file" \
	"dd if=/dev/zero of=$MNT/file conv=notrunc count=1"; do
	# shellcheck disable=SC2086
	fails "${command%% *} is refused" 'Read-only file system' $command
done
address=$(b2sum -l 256 "$MNT/file" | cut -d' ' -f1)
is 'by-hash works' "$(cat "$MNT/by-hash/$address")" handed
ok 'it unmounts' mount_stop
ok 'a crash comes' mount_start
echo more >"$MNT/more" && sync "$MNT/more"
ok 'and it dies' mount_kill
ok 'after that it mounts read-only all the same' mount_start -o ro
is 'and reads' "$(cat "$MNT/more")" more
ok 'it unmounts' mount_stop

# A full disk.
mkdir "$disk"
if mount -t tmpfs -o size=6m none "$disk" 2>/dev/null; then
	refused 'a store on a disk that is too small is refused' 'No space left' "$disk/store"
	umount "$disk" && mount -t tmpfs -o size=100m none "$disk"
	cp -a --sparse=always "$STORE" "$disk/store"
	dd if=/dev/zero of="$disk/full" bs=1M status=none 2>/dev/null
	STORE=$disk/store
	if mount_start; then
		is 'a store on a full disk mounts, and reads' "$(cat "$MNT/more")" more
		fails 'and writes nothing' 'No space left' dd if=/dev/urandom of="$MNT/new" bs=1M count=8 conv=fsync
		rm -f "$MNT/new"
		ok 'it unmounts' mount_stop
	else
		ok 'a store on a full disk says why it is refused' grep -q 'No space left' "$LOG"
	fi
	rm "$disk/full"
	ok 'with room again it mounts' mount_start
	is 'and nothing was lost' "$(cat "$MNT/file" "$MNT/more" | xargs)" 'handed more'
	ok 'it unmounts' mount_stop
	umount "$disk"
else
	skip 'a store on a full disk' 'no tmpfs can be mounted here'
fi

wait "$locked"
is 'a store that another process has is refused' $? 1
ok 'with its pid' grep -q "process $locked_pid" "$TEST_DIR/locked"
ok 'after some 30 s' test $((SECONDS - locked_since)) -ge 25
MNT=$TEST_DIR/mnt STORE=$TEST_DIR/store LOG=$TEST_DIR/log
is 'and who has it goes on' "$(cat "$MNT/file")" kept
ok 'it unmounts' mount_stop
done_testing
