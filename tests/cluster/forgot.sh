#!/bin/bash
# A store loses what it noted of the ring (its shelf), and nothing else: its volume is leased anew, above all leases of before.
. "$(dirname "$0")/lib.sh"

ring_of_three
cp -r "$top/chunker" "$A/src"
# Some slots have chunks of both, so their leases are second ones: first ones, made anew, would be refused.
for round in 1 2; do
	for note in {1..400}; do
		echo "note $note of round $round" >"$A/src/note.$round.$note"
	done
	ok 'others have all of it' timeout 60 sync "$A"
	ok 'and keep it' timeout 60 "$B/dhtctl" --store "$TEST_DIR/1/store" wait
done
before=$(digest "$A/src")
ok 'A stops' node_stop 1
rm "$TEST_DIR/1/store/shelf" "$TEST_DIR/1/store/shelf-lock"
ok 'it starts without its shelf' node_start 1 dhtfs --timeout 10
ok 'and says so' said 1 'has lost its notes of the ring'
is 'all is there' "$(digest "$A/src")" "$before"
head -c 3000000 /dev/urandom >"$A/film"
ok 'what is new is safe' timeout 60 sync "$A"
ok 'and kept by the others, as what was there' timeout 60 "$B/dhtctl" --store "$TEST_DIR/1/store" wait
is 'all of it' "$(field 1 unleased)" 0
fails 'nobody takes it for two writers' '' grep -h 'two writers' "$TEST_DIR"/{1,2,3}/log
fails 'none of its leases is refused' '' said 1 'has newer leases'
done_testing
