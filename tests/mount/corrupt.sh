#!/bin/bash
# What a disk does to a store: none of it loses anything that is still readable, and no reader gets
# a byte that is not right.
. "$(dirname "$0")/../lib/mount.sh"
damage() { python3 "$here/helpers/damage.py" "$@"; }
ctl() { "$B/dhtctl" --store "$STORE" "$@"; }
here=$(cd "$(dirname "$0")" && pwd)
source=$TEST_DIR/source
good=$TEST_DIR/good
mkdir "$source"

# store_again NAME: a copy of the good store, to be damaged.
store_again() {
	mount_use "$1"
	mkdir -p "$MNT"
	cp -a --sparse=always "$good" "$STORE"
}

readable() { damage readable "$1"; }
address_of() { b2sum -l 256 "$1" | cut -d' ' -f1; }
ledger_size() { stat -c %s "$STORE/ledger"; }

# logged TEXT...: one line of the log has all of them.
logged() {
	local lines text
	lines=$(<"$LOG")
	for text; do lines=$(grep -F -- "$text" <<<"$lines") || { cat "$LOG"; return 1; }; done
}

# all_there: every file is as it was.
all_there() { diff <(readable "$source") <(readable "$MNT/tree" | grep -v '^new '); }

# unharmed PATH...: every file but these is as it was.
unharmed() {
	local but
	but=$(printf '^%s \n' "$@")
	diff <(readable "$source" | grep -v "$but") <(readable "$MNT/tree" | grep -v "$but")
}

# honest: every file is as it was, or can't be read.
honest() {
	diff <(readable "$source") <(readable "$MNT/tree") | grep '^>' | grep -v 'Input/output error$'
	[ "${PIPESTATUS[2]}" = 1 ]
}

# goes_on: new files can be written, and a snapshot of all of it be taken.
goes_on() {
	echo "new $MNT" >"$MNT/tree/new" && sync "$MNT/tree/new" && ctl snapshot &&
		grep -q "new $MNT" "$MNT/tree/new"
}

mount_use first
damage tree "$source" 1
ok 'a store is made' mount_start
ok 'files are copied in' cp -a "$source" "$MNT/tree"
ok 'and a snapshot of them is taken' ctl snapshot
ok 'it unmounts' mount_stop
cp -a --sparse=always "$STORE" "$good"

# A chunk.
store_again chunk
victim=small/7
address=$(address_of "$source/$victim")
read -r _ segment offset _ < <(damage records "$STORE" | grep "^$address ")
damage flip "$STORE" "$address" bytes
ok 'a store with a rotten chunk mounts' mount_start
fails 'its reader gets EIO' 'Input/output error' md5sum "$MNT/tree/$victim"
ok 'the log says address, segment and offset' logged "$address" "$(printf %08x "$segment")" "at $offset"
fails 'by-hash has it not either' 'Input/output error' md5sum "$MNT/by-hash/$address"
ok 'everything else is served' unharmed "$victim"
fails 'a check tells' '' ctl check
cp "$source/$victim" "$MNT/tree/again"
ok 'the same content, written again, mends it' sync "$MNT/tree/again"
is 'for each file that has it' "$(address_of "$MNT/tree/$victim")" "$address"
ok 'and a check finds no more' ctl check
ok 'it unmounts' mount_stop
ok 'it mounts again' mount_start
rm "$MNT/tree/again"
ok 'and all is there' all_there
ok 'it unmounts' mount_stop

store_again large
read -r address segment offset _ < <(python3 - "$source/large/1" "$STORE" "$here/helpers" <<'PYTHON'
import hashlib, sys
sys.path.insert(0, sys.argv[3])
import damage
whole = open(sys.argv[1], "rb").read()
for record in damage.records(sys.argv[2]):
    start, end = record[3] + damage.HEADER, record[4]
    with open(record[1], "rb") as file:
        file.seek(start)
        at = whole.find(file.read(end - start - damage.HEADER))
    if record[5] == 1 and at > 0 and end - start > 30_000:
        print(record[0], record[2], record[3])
        break
PYTHON
)
damage flip "$STORE" "$address" bytes
ok 'a store with a rotten chunk in the midst of a large file mounts' mount_start
fails 'who reads the file gets EIO' 'Input/output error' md5sum "$MNT/tree/large/1"
is 'but its beginning is served' "$(head -c 20000 "$MNT/tree/large/1" | b2sum)" \
	"$(head -c 20000 "$source/large/1" | b2sum)"
is 'and its end' "$(tail -c 20000 "$MNT/tree/large/1" | b2sum)" "$(tail -c 20000 "$source/large/1" | b2sum)"
ok 'and everything else' unharmed large/1
ok 'copied over, it is whole again' cp "$source/large/1" "$MNT/tree/large/1"
ok 'and all is there' all_there
ok 'it unmounts' mount_stop

store_again directories
damage records "$STORE" | awk '$5 >= 3 { print $1 }' | sort -u |
	while read -r address; do damage flip "$STORE" "$address" bytes; done
ok 'a store in which all directories and snapshots are rotten mounts' mount_start
ok 'and the tree does not need them' all_there
ok 'and a new snapshot is whole' goes_on
address=$(getfattr --only-values -n user.dhtfs.address "$MNT/tree/small")
is 'with directories that can be read' "$(ls "$MNT/by-hash/$address" | sort)" "$(ls "$source/small" | sort)"
ok 'it unmounts' mount_stop

# A header.
store_again header
address=$(address_of "$source/$victim")
damage flip "$STORE" "$address" header
ok 'a store with a rotten header mounts' mount_start
ok 'and everything is there, for the ledger knows' all_there
ok 'it unmounts' mount_stop
rm "$STORE/ledger"
ok 'without the ledger too it mounts' mount_start
ok 'and loses what only that header knew' unharmed "$victim"
ok 'the same content, written again, mends it' cp "$source/$victim" "$MNT/tree/$victim"
ok 'and all is there' all_there
ok 'it unmounts' mount_stop

# A segment.
store_again cut
read -r _ _ middle _ < <(damage records "$STORE" | sed -n "$(($(damage records "$STORE" | wc -l) / 2))p")
truncate -s $((middle + 100)) "$STORE/segment-00000001"
ok 'a store whose segment was cut in the middle mounts' mount_start
ok 'what is read is right' honest
damage records "$STORE" | cut -d' ' -f1 | sort >"$TEST_DIR/have"
(cd "$source" && b2sum -l 256 small/*) | sort | join - "$TEST_DIR/have" -o 1.2 >"$TEST_DIR/kept"
is 'and all that lay before the cut is read' "$(readable "$MNT/tree" | awk '/^small/ && !/error/ { print $1 }' | sort)" \
	"$(sort "$TEST_DIR/kept")"
ok 'the log says so' logged 'segment 00000001 was cut'
ok 'and life goes on' goes_on
ok 'what was lost can be copied in again' cp -r "$source/." "$MNT/tree"
ok 'and all is there' all_there
ok 'it unmounts' mount_stop
ok 'it mounts again' mount_start
ok 'and all is there still' all_there
ok 'it unmounts' mount_stop

store_again gone
rm "$STORE"/segment-*
ok 'a store without its segment mounts' mount_start
ok 'nothing that is read is wrong' honest
ok 'and life goes on' goes_on
ok 'what was lost can be copied in again' cp -r "$source/." "$MNT/tree"
ok 'and all is there' all_there
ok 'it unmounts' mount_stop

# rebuilt WHAT: it mounts, everything is there, and nothing else was needed.
rebuilt() {
	ok "$1: it mounts" mount_start || return
	ok "$1: all is there" all_there
	is "$1: the store counts what it did" "$(ctl --json status | python3 -c '
import json, sys
print(json.load(sys.stdin)["chunks"])')" "$(damage records "$STORE" | cut -d' ' -f1 | sort -u | wc -l)"
	ok "$1: life goes on" goes_on
	ok "$1: a check is content" ctl check
	ok "$1: it unmounts" mount_stop
}

# The ledger.
store_again no-ledger
rm "$STORE"/ledger*
rebuilt 'the ledger deleted'
for size in 0 100 8192 12288 half; do
	store_again "ledger-$size"
	[ "$size" != half ] || size=$(($(ledger_size) / 2))
	truncate -s "$size" "$STORE/ledger"
	rebuilt "the ledger cut to $size bytes"
done
for from in 0 4096 8192 20480; do
	store_again "garbage-$from"
	damage garbage "$STORE/ledger" "$from" 2
	rebuilt "the ledger garbage from byte $from"
done
store_again ledger-folder
rm "$STORE/ledger" && mkdir "$STORE/ledger"
fails 'a folder in place of the ledger is refused' 'ledger' \
	timeout 20 "$MOUNT_PROGRAM" -f --store "$STORE" "$MNT"

# Two states of one store, exchanged in part.
store_again older
ok 'more is written to a store' mount_start
ok 'a tree like the other' cp -r "$source/small" "$MNT/tree/more"
ok 'and one with news' damage tree "$MNT/tree/news" 3
readable "$MNT/tree" >"$TEST_DIR/newer"
ok 'it unmounts' mount_stop
cp -a "$STORE" "$TEST_DIR/newer-store"
cp "$good/ledger" "$STORE/ledger"
ok 'with an older ledger it mounts' mount_start
ok 'and all is there' diff "$TEST_DIR/newer" <(readable "$MNT/tree")
ok 'and a check is content' ctl check
ok 'it unmounts' mount_stop

mount_use shorter
mkdir "$MNT"
cp -a "$TEST_DIR/newer-store" "$STORE"
cp --sparse=always "$good"/segment-* "$STORE"
ok 'with an older segment, past whose end the ledger points, it mounts' mount_start
ok 'and all that the segment had is there' diff <(readable "$source") <(readable "$MNT/tree" | grep -E '^(small|large)/')
ok 'and life goes on' goes_on
ok 'it unmounts' mount_stop

# An entry that leads astray: past the end, to no segment, to another chunk.
for where in '1 200000000' '9 64' '1 0'; do
	store_again "astray-${where// /-}"
	for name in small/7 small/8; do
		# shellcheck disable=SC2086
		damage point "$STORE" "$(address_of "$source/$name")" $where
	done
	ok "a ledger that leads to $where mounts" mount_start
	ok 'and all is there' all_there
	ok 'and a check is content' ctl check
	ok 'it unmounts' mount_stop
	ok 'it mounts again' mount_start
	ok 'and all is there' all_there
	ok 'it unmounts' mount_stop
done

# dhtctl.
store_again rebuild
rm "$STORE/ledger"
ok 'dhtctl rebuild makes the ledger' ctl rebuild
ok 'the store mounts' mount_start
ok 'with nothing to do' bash -c '! grep -E "anew|damaged" "$1"' - "$LOG"
ok 'and all is there' all_there
fails 'dhtctl rebuild of a mounted store is refused, with the pid' "$(mount_pid)" ctl rebuild
ok 'it unmounts' mount_stop
damage flip "$STORE" "$(address_of "$source/$victim")" bytes
fails 'dhtctl rebuild tells of a rotten chunk' '1' ctl rebuild
rm "$STORE/format"
fails 'a store without its format file says what to do' 'dhtctl rebuild' \
	timeout 20 "$MOUNT_PROGRAM" -f --store "$STORE" "$MNT"
"$B/dhtctl" --store "$STORE" rebuild >/dev/null 2>&1
ok 'that done, it mounts' mount_start
ok 'and all but the rotten chunk is there' unharmed "$victim"
ok 'it unmounts' mount_stop

# The tree: there is nothing to make it from again here, but no word of it may be a lie.
for damage in cut garbage; do
	store_again "tree-$damage"
	if [ "$damage" = cut ]; then truncate -s 16384 "$STORE/tree"; else damage garbage "$STORE/tree" 0 4; fi
	fails "a tree that is $damage is refused" "$STORE/tree" timeout 20 "$MOUNT_PROGRAM" -f --store "$STORE" "$MNT"
done
done_testing
