#!/bin/bash
# A machine falls silent, and its volume goes on at once on one that takes its place in the ring, while it is a member still and
# nobody has noticed yet.
. "$(dirname "$0")/lib.sh"

ring_of_three
cp -r "$top/chunker" "$A/src"
head -c 3000000 /dev/urandom >"$A/film"
ok 'others have all of it' timeout 60 sync "$A"
ok 'the key is kept elsewhere' "$B/dhtctl" --store "$TEST_DIR/1/store" volume export --yes "$TEST_DIR/vol.key"
before=$(contents "$A")
kill -STOP "$(node_pid 1)"
ok 'D restores it, as one that keeps copies' node_start 4 dhtfs --timeout 30 --join "$(address 2)" --volume "$TEST_DIR/vol.key"
D=$TEST_DIR/4/mnt
is 'all bytes' "$(contents "$D")" "$before"
echo more >"$D/more"
ok 'it goes on from there' timeout 60 sync "$D"
kill -CONT "$(node_pid 1)"
done_testing
