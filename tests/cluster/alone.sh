#!/bin/bash
# A store that was written without a ring joins one: all of it goes there, is leased, and can be restored.
. "$(dirname "$0")/lib.sh"

all_leased() { [ "$(field "$1" unleased) $(field "$1" unsafe) $(field "$1" head_waits)" = '0 0 false' ]; }

node 4
A=$MNT
ok 'a mount without a ring' mount_start
cp -r "$top/chunker" "$A/"
head -c 2000000 /dev/urandom >"$A/film"
first=$(ctl 4 snapshot first)
rm "$A/chunker/DESIGN.md"
pin=$(head -c 100000 /dev/urandom | ctl 4 put -)
sync "$A"
ok 'it ends' mount_stop
ok 'a ring' ring_create
ok 'with B' node_start 1 dhtd
ok 'and C' node_start 2 dhtd
ok 'the store joins it' node_start 4 dhtfs --join "$(address 1)"
ok 'they are three' views 3 0 1 2 4
is 'the log says what that means' "$(grep -c 'was not told of yet goes there' "$LOG")" 1
ok 'dhtctl wait ends' timeout 60 "$B/dhtctl" --store "$STORE" wait
ok 'then all is safe' all_leased 4
ok 'it has all its copies' replicas "$A/film" 3/3
ok 'a pinned file, too' wait_until 30 test "$(ctl 1 where "$pin" | grep -c 'has it')" = 3
ok 'once more without a ring' node_stop 4
ok 'it can be written so' mount_start
echo later >"$A/later"
ok 'and ends' mount_stop
ok 'and joins again' node_start 4 dhtfs
ok 'what came meanwhile goes out' timeout 60 "$B/dhtctl" --store "$STORE" wait
ok 'the key is exported' ctl 4 volume export --yes "$TEST_DIR/vol.key"
before=$(contents "$A")
node_kill 4
ok 'A is lost, and restored as E' node_start 5 dhtfs --join "$(address 1)" --volume "$TEST_DIR/vol.key"
is 'with all bytes' "$(contents "$TEST_DIR/5/mnt")" "$before"
is 'those of the older snapshot, too' "$(sha256sum <"$TEST_DIR/5/mnt/by-hash/$first/chunker/DESIGN.md")" \
	"$(sha256sum <"$top/chunker/DESIGN.md")"
is 'and of the pinned file' "$(sha256sum <"$TEST_DIR/5/mnt/by-hash/$pin" | wc -c)" 68
done_testing
