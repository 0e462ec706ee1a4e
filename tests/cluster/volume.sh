#!/bin/bash
# A volume is followed on another machine, and restored on a third when the first is lost; what the first still writes, when it
# comes back, is its own.
. "$(dirname "$0")/lib.sh"

# in_time SECONDS COMMAND...: it ends within that, however; what it says is in .said.
in_time() {
	timeout "$1" "${@:2}" >"$TEST_DIR/.said" 2>&1
	[ $? != 124 ]
}
content_is() { [ "$(timeout 5 cat "$1" 2>/dev/null)" = "$2" ]; }
answered() { grep -q -- "$1" "$TEST_DIR/.said"; }
# tree DIR: names, attributes and link counts of all that is below it.
tree() {
	(cd "$1" && find . -path ./by-hash -prune -o -path . -o -printf '%p %y %m %U %G %s %n %T@ %l\n' | sort)
}
# A follower does not show set-id bits, nor how many names a file has.
unlinked() { awk '{ $3 = substr($3, length($3) - 2); $7 = "-"; print }'; }

ring_of_three
mkdir -p "$A/src/deep/er"
cp -r "$top/chunker" "$A/src/"
head -c 3000000 /dev/urandom >"$A/film"
ln "$A/film" "$A/src/hard"
ln -s ../film "$A/src/soft"
mkfifo "$A/src/fifo"
truncate -s 10M "$A/holes" && echo end >>"$A/holes"
setfattr -n user.short -v value "$A/film"
setfattr -n user.long -v "$(printf %03000d 0)" "$A/src"
chmod 2750 "$A/src/deep"
touch -d '2001-02-03 04:05:06.789' "$A/src/deep" "$A/film"
echo one >"$A/news"
ok 'fsync of a directory waits until others have all of it' timeout 60 sync "$A"
first=$(ctl 1 snapshot first)
echo two >"$A/news"
ok 'dhtctl wait ends when all is safe' timeout 60 "$B/dhtctl" --store "$TEST_DIR/1/store" wait
is 'status says so' "$(field 1 unsafe) $(field 1 unleased) $(field 1 head_waits)" '0 0 false'
key=$(ctl 1 volume | head -n 1)
is 'the volume has a public key' "${#key}" 64

# Followed.
fails 'nobody follows what is not there' '' node_start 7 dhtfs --timeout 3 --follow "$(printf %064d 1)"
ok 'and it says so' said 7 'nothing to follow'
ok 'D follows' node_start 4 dhtfs --timeout 10 --follow "$key"
D=$TEST_DIR/4/mnt
is 'it has the same names and attributes' "$(tree "$D" | unlinked)" "$(tree "$A" | unlinked)"
is 'and bytes' "$(contents "$D")" "$(contents "$A")"
is 'xattrs too' "$(getfattr --only-values -n user.short "$D/film")" value
is 'the address of a directory is the same' "$(xattr "$D/src" address)" "$(xattr "$A/src" address)"
is 'by-hash is there' "$(cat "$D/by-hash/$(xattr "$A/news" address)")" two
is 'dhtctl paths finds what it shows' "$(ctl 4 paths "$(xattr "$A/news" address)")" news
ok 'and dhtctl diff: nothing is new since' ctl 4 diff "$(ctl 1 snapshot)" now
is 'it keeps no copies for others' "$(field 4 ring_state)" draining
fails 'nothing can be written' 'Read-only' touch "$D/new"
exec 5<"$D/news" 6<"$D/src"
inode=$(stat -c %i "$D/film")
cd "$D/src" || exit
echo three >"$A/news"
echo more >"$A/src/more"
since=${EPOCHREALTIME/./}
timeout 60 sync "$A"
ok 'it shows what is new' wait_until 20 content_is "$D/news" three
took=$((${EPOCHREALTIME/./} - since))
ok 'within 5 s' test "$took" -lt 5000000 || diag "$took us"
is 'at once, or nothing: with all of it' "$(cat "$D/src/more")" more
is 'who had a file open reads on in that version' "$(cat <&5)" two
ok 'who stands in a directory stands in that version' test ! -e more
is 'what did not change is the same file' "$(stat -c %i "$D/film")" "$inode"
exec 5<&- 6<&-
cd "$top" || exit

# Exported.
ctl=("$B/dhtctl" --store "$TEST_DIR/1/store")
fails 'an export wants to be agreed to' '--yes' "${ctl[@]}" volume export "$TEST_DIR/vol.key"
ok 'then the key is written' "${ctl[@]}" volume export --yes "$TEST_DIR/vol.key"
is 'for its owner only' "$(stat -c %a "$TEST_DIR/vol.key")" 600
fails 'and never over another' 'exists' "${ctl[@]}" volume export --yes "$TEST_DIR/vol.key"

# A burns down, with something that it did not sync.
before=$(tree "$A") bytes=$(contents "$A") kept=$(ctl 1 snapshots | cut -d' ' -f3 | head -n -1)
echo unsynced >"$A/unsynced"
sync "$A/film"
wait_until 10 test "$(field 1 dirty_files)" = 0
node_kill 1

# Restored: at first the ring does not answer.
kill -STOP "$(node_pid 2)" "$(node_pid 3)"
fails 'while the ring is silent nothing is restored' '' node_start 5 dhtfs --no-store --timeout 3 --volume "$TEST_DIR/vol.key"
ok 'and it says why' said 5 "the volume can't be restored"
fails 'what has begun is no volume yet' '' node_start 5 dhtfs --no-store --timeout 3
ok 'which is said too' said 5 'has not ended'
kill -CONT "$(node_pid 2)" "$(node_pid 3)"
ok 'B and C are there again' wait_until 30 node_answers 3
ok 'E restores it' node_start 5 dhtfs --no-store --timeout 20 --join "$(address 2)" --volume "$TEST_DIR/vol.key"
E=$TEST_DIR/5/mnt
is 'with all names and attributes' "$(tree "$E" | grep -v unsynced)" "$before"
is 'all bytes' "$(contents "$E" | grep -v unsynced)" "$bytes"
is 'xattrs' "$(getfattr --only-values -n user.long "$E/src" | wc -c)" 3000
is 'both names of one file' "$(stat -c %i "$E/film")" "$(stat -c %i "$E/src/hard")"
ok 'the snapshots that were kept' grep -q "$first" <<<"$(ctl 5 snapshots)"
for address in $kept; do ctl 5 snapshots | grep -q "$address" || diag "no snapshot $address"; done
is 'and what they were of' "$(cat "$E/by-hash/$first/news")" one
rm "$E/src/more"
echo four >"$E/news"
ok 'it goes on from there' timeout 60 sync "$E"
ok 'who follows sees that' wait_until 20 content_is "$D/news" four
ok 'and what went' test ! -e "$D/src/more"
ok 'it stops' node_stop 5
ok 'the same again is no second time' node_start 5 dhtfs --no-store --timeout 20 --volume "$TEST_DIR/vol.key"
is 'it has all of it' "$(cat "$E/news")" four

# A comes back.
ok 'A starts again' node_start 1 dhtfs --timeout 10
is 'with what it had' "$(cat "$A/news") $(cat "$A/unsynced")" 'three unsynced'
echo mine >"$A/mine"
fails 'its snapshots are no heads any more' '' timeout 60 sync "$A"
ok 'dhtctl says why' bash -c '! timeout 60 "$@" 2>&1 | grep -q "another machine writes this volume" || exit 0; exit 1' - "${ctl[@]}" sync
ok 'the log too' wait_until 20 said 1 'another machine has published'
is 'it loses nothing' "$(cat "$A/mine")" mine
ok 'it unmounts' node_stop 1
ok 'and says that this is not published' said 1 'not all is safe'
is 'nobody saw it' "$(cat "$D/news")" four

# The others are lost: what is written waits.
node_kill 2
node_kill 3
echo five >"$E/news"
ok 'under a dead ring fsync ends in time' in_time 40 sync "$E"
ok 'with an error' answered 'error syncing'
is 'but writes go on' "$(cat "$E/news")" five
ok 'a follower says that the ring is silent' wait_until 60 said 4 'following: '
is 'and shows what it has' "$(cat "$D/news")" four
ok 'it unmounts' node_stop 4
node 5
ok 'an unmount ends in time' node_stop 5
ok 'and says what is not safe' said 5 'not all is safe'
ok 'with --wait' node_start 5 dhtfs --no-store --timeout 5 --wait
pid=$(node_pid 5)
fusermount3 -u "$E"
ok 'it waits' wait_until 20 said 5 'waiting: '
ok 'until the others are back' node_start 2 dhtd
ok 'both' node_start 3 dhtd
node 5
ok 'then it ends by itself' mount_ended
ok 'with all safe' said 5 'is safe from the loss'
done_testing
