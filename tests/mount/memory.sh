#!/bin/bash
# The memory of the process is bounded, whatever is copied through it.
. "$(dirname "$0")/../lib/mount.sh"
case $B in *address* | *thread* | *undefined*)
	skip 'memory stays bounded' 'a sanitizer takes a multiple of it'
	done_testing ;;
esac

mib() { awk -v field="$1:" '$1 == field { print int($2 / 1024) }' "/proc/$(mount_pid)/status"; }

# most COMMAND...: run it; the largest RssAnon in MiB meanwhile goes into ${peak}.
most() {
	local now status
	peak=0
	"$@" &
	while kill -0 $! 2>/dev/null; do
		now=$(mib RssAnon)
		[ "$now" -le "$peak" ] || peak=$now
		sleep 0.05
	done
	wait $!
	status=$?
	return $status
}

# below NAME LIMIT
below() {
	diag "$1: $peak MiB"
	ok "$1: less than $2 MiB of memory" test "$peak" -lt "$2"
}

size_mib=1024
files=20000
[ -z "${SOAK:-}" ] || { size_mib=8192; files=200000; }
pattern() {
	python3 -c '
import random, sys
rng = random.Random(1)
for _ in range(int(sys.argv[1])):
    sys.stdout.buffer.write(rng.randbytes(1 << 20))' "$1"
}

# What may be dirty, as much again on its way to the disk, the cache, and what a program needs.
limit=400
ok 'dhtfs mounts' mount_start --dirty-max 64M
most ls "$MNT"
diag "at rest: $peak MiB"
copy() { pattern $size_mib >"$MNT/large"; }
ok "a file of $size_mib MiB is written" most copy
below 'a large file written' $limit
ok 'and read' most cmp "$MNT/large" <(pattern $size_mib)
below 'and read' $limit

random_writes() {
	python3 - "$MNT/large" <<'PYTHON'
import os, random, sys
rng = random.Random(1)
fd = os.open(sys.argv[1], os.O_WRONLY)
size = os.fstat(fd).st_size
for _ in range(20_000):
    os.pwrite(fd, rng.randbytes(4096), rng.randrange(size // 4096) * 4096)
os.close(fd)
PYTHON
}
ok 'it is written to in 20,000 places' most random_writes
below 'random writes' $limit

many() {
	python3 - "$MNT" "$files" <<'PYTHON'
import os, sys
for i in range(int(sys.argv[2])):
    if i % 1000 == 0:
        os.mkdir(f"{sys.argv[1]}/{i // 1000}")
    with open(f"{sys.argv[1]}/{i // 1000}/{i}", "w") as file:
        file.write(f"{i}\n" * 50)
PYTHON
}
ok "$files files are made" most many
below 'many files' $limit
ok 'and all are synced' most "$B/dhtctl" --store "$STORE" sync
below 'and synced' $limit
ok 'and removed' most rm -r "$MNT"/[0-9]*
below 'and removed' $limit
sync "$MNT"
most ls "$MNT"
diag "at rest again: $peak MiB"
ok 'it unmounts' mount_stop
done_testing
