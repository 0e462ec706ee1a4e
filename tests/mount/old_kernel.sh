#!/bin/bash
# On a kernel before 6.16, which does not wait for what it writes back, no file that is being written has holes (fs/ops_file.c).
. "$(dirname "$0")/../lib/mount.sh"

# holes FILE: what SEEK_HOLE finds from its start; with a second word the file is open for writing meanwhile.
holes() {
	python3 - "$@" <<'PYTHON'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR if len(sys.argv) > 2 else os.O_RDONLY)
print(os.lseek(fd, 0, os.SEEK_HOLE), os.lseek(fd, 1 << 20, os.SEEK_DATA))
PYTHON
}

make() {
	head -c 1M /dev/urandom >"$MNT/file"
	truncate -s 4M "$MNT/file"
	printf x >>"$MNT/file"
}

ok 'it mounts' mount_start
make
if [ "$(holes "$MNT/file" w)" = '4194305 1048576' ]; then
	skip 'holes of a file that is open for writing' 'this kernel is older than 6.16'
else
	is 'holes of a file that is open for writing' "$(holes "$MNT/file" w)" '1048576 4194304'
fi
ok 'it unmounts' mount_stop

PREFIX=(setarch "$(uname -m)" --uname-2.6)
ok 'it mounts on a kernel that says it is old' mount_start
make
is 'a file that nobody writes has holes' "$(holes "$MNT/file")" '1048576 4194304'
is 'one that is open for writing has none' "$(holes "$MNT/file" w)" '4194305 1048576'
is 'and from then on none has' "$(holes "$MNT/file")" '4194305 1048576'
cp --sparse=always "$MNT/file" "$TEST_DIR/copy"
ok 'its copy is the same' cmp "$MNT/file" "$TEST_DIR/copy"
ok 'it unmounts' mount_stop
done_testing
