#!/bin/bash
# A full store: who writes is told, everything else goes on, and nothing that fsync() has
# acknowledged is lost.  By --size-max, and on a disk that really is full.
. "$(dirname "$0")/../lib/mount.sh"
disk=$TEST_DIR/disk
trap 'status=$?; umount -l "$disk" 2>/dev/null; (exit $status); mount_cleanup' EXIT
bound_s=30

# fill: files with an fsync each until one fails; their names and hashes go to ${kept}.  Prints the
# errno that ended it.
fill() {
	timeout "$bound_s" python3 - "$MNT" "$1" <<'PYTHON'
import errno, hashlib, os, random, sys
mnt, kept = sys.argv[1:]
rng = random.Random(1)
with open(kept, "w") as out:
    for i in range(1000):
        data = rng.randbytes(rng.choice((1000, 100_000, 1_000_000)))
        try:
            fd = os.open(f"{mnt}/kept-{i}", os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.write(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            print(errno.errorcode[error.errno])
            break
        print(hashlib.blake2b(data).hexdigest(), f"kept-{i}", sep="  ", file=out)
PYTHON
}

# fails_somewhere: a large file without fsync: the error comes from write() or close().
fails_somewhere() {
	timeout "$bound_s" python3 - "$MNT/large" <<'PYTHON'
import errno, os, random, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o644)
try:
    for i in range(200):
        os.write(fd, random.randbytes(1 << 20))
    where = "close"
    os.close(fd)
    where = "nowhere"
except OSError as error:
    print(errno.errorcode[error.errno])
    sys.exit(0)
sys.exit(1)
PYTHON
}

verify() { (cd "$MNT" && timeout "$bound_s" b2sum --quiet -c "$kept"); }
available_kib_of() { df --output=avail -k "$1" | tail -n 1; }
available_kib() { available_kib_of "$MNT"; }

# full_store NAME OPTION...: all of it on one store, which has room for some 40 MiB.
full_store() {
	local name=$1 before
	kept=$TEST_DIR/$name.kept
	shift
	mount_use "mount-$name"
	[ "$name" = limit ] || STORE=$disk/store
	ok "$name: it mounts" mount_start "$@"
	before=$(available_kib)
	ok "$name: it says that it has room for some of it" test "$before" -gt 10000 -a "$before" -lt 60000
	is "$name: at last a writer gets" "$(fill "$kept")" ENOSPC
	ok "$name: others wrote before" test "$(wc -l <"$kept")" -gt 10
	ok "$name: little room is left" test "$(available_kib)" -lt 3000
	is "$name: so does one that does not sync" "$(fails_somewhere)" ENOSPC
	ok "$name: what was synced is right" verify
	ok "$name: the tree is served" timeout "$bound_s" ls -lR "$MNT"
	fails "$name: fallocate is told" 'No space left' timeout "$bound_s" fallocate -l 100M "$MNT/allocated"
	rm -f "$MNT/allocated"
	ok "$name: a copy of what is there needs no room" timeout "$bound_s" cp "$MNT/kept-0" "$MNT/copy"
	ok "$name: a name is changed" timeout "$bound_s" mv "$MNT/copy" "$MNT/moved"
	ok "$name: files are deleted" timeout "$bound_s" rm "$MNT/large" "$MNT/moved"
	ok "$name: a check is content" timeout "$bound_s" "$B/dhtctl" --store "$STORE" check

	cp "$MNT/kept-1" "$TEST_DIR/old"
	head -c 3000000 /dev/urandom >"$TEST_DIR/new"
	timeout "$bound_s" cp "$TEST_DIR/new" "$MNT/kept-1.new" 2>/dev/null
	timeout "$bound_s" mv "$MNT/kept-1.new" "$MNT/kept-1" 2>/dev/null
	ok "$name: after a rename of what can't be kept others are still served" verify_but kept-1
	ok "$name: and after it is removed" timeout "$bound_s" rm -f "$MNT/kept-1" "$MNT/kept-1.new"
	sed -i '/ kept-1$/d' "$kept"
	last=$(tail -n 1 "$kept" | sed 's/.* //')
	ok "$name: syncs succeed again" timeout "$bound_s" sync "$MNT/$last"

	ok "$name: it unmounts" mount_stop
	ok "$name: it mounts again" mount_start "$@"
	ok "$name: what was synced is right" verify
	mount_kill
	ok "$name: and mounts after a crash" mount_start "$@"
	ok "$name: what was synced is right" verify
	ok "$name: it unmounts" mount_stop
}

verify_but() { (cd "$MNT" && grep -v " $1\$" "$kept" | timeout "$bound_s" b2sum --quiet -c); }

full_store limit --size-max 40M
ok 'with a higher limit it mounts' mount_start --size-max 80M
ok 'and takes new files' dd if=/dev/urandom of="$MNT/new" bs=1M count=8 conv=fsync
ok 'it unmounts' mount_stop

# A disk of its own: of 300 MiB, most of it another's.
mkdir "$disk"
truncate -s 300M "$TEST_DIR/image"
if mkfs.ext4 -q -F "$TEST_DIR/image" 2>/dev/null && mount -o loop "$TEST_DIR/image" "$disk" 2>/dev/null; then
	fallocate -l "$(($(available_kib_of "$disk") - 64 * 1024))K" "$disk/another"
	full_store disk
	ok 'the disk is full: it mounts' mount_start
	fill "$TEST_DIR/more.kept" >/dev/null
	fails 'a file is refused' 'No space left' timeout "$bound_s" dd if=/dev/urandom of="$MNT/refused" bs=1M count=30 conv=fsync
	rm "$disk/another"
	ok 'when there is room again, it is taken' dd if=/dev/urandom of="$MNT/taken" bs=1M count=30 conv=fsync
	ok 'and a snapshot too' timeout "$bound_s" sync "$MNT"
	ok 'it unmounts' mount_stop
	umount "$disk"
else
	skip 'a disk that is full' 'no loop device can be mounted here'
fi

if mount -t tmpfs -o size=64m none "$disk" 2>/dev/null; then
	full_store tmpfs
	umount "$disk"
else
	skip 'a tmpfs that is full' 'none can be mounted here'
fi
done_testing
