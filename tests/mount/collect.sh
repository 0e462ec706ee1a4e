#!/bin/bash
# Space comes back, by itself and when asked; nothing that is in use goes with it, whatever happens
# meanwhile; the limit is kept, and a full store can be emptied and used again.
. "$(dirname "$0")/../lib/mount.sh"
seconds=${SOAK:+300}
seconds=${seconds:-12}
rounds=${SOAK:+30}
rounds=${rounds:-4}

ctl() { "$B/dhtctl" --store "$STORE" "$@"; }
field() { ctl --json status | python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }
noise() { head -c "$1" /dev/urandom; }
disk_mib() { du -sm "$STORE" | cut -f1; }
# What an open segment has set aside on the disk for what will come is not in this.
used_mib() { echo $(($(field space_used_bytes) >> 20)); }
less_than() { [ "$("${@:2}")" -lt "$1" ]; }

# By itself, and with gc.
mount_use back
ok 'it mounts' mount_start --keep none
noise 100M >"$MNT/stays"
noise 150M >"$MNT/goes"
sync "$MNT"
sum=$(b2sum <"$MNT/stays")
ok 'the store has all of it' test "$(used_mib)" -ge 250
rm "$MNT/goes"
ok 'the space of a deleted file comes back by itself' wait_until 40 less_than 120 used_mib
is 'the other file is what it was' "$(b2sum <"$MNT/stays")" "$sum"
noise 50M >"$MNT/small"
sync "$MNT"
rm "$MNT/small"
before=$(find "$STORE" -name 'segment-*' -printf '%f %s\n' | sort)
ctl gc --dry-run >"$TEST_DIR/dry"
ok 'a dry run says what it would remove' grep -q '^would remove [0-9]* chunks, [45][0-9]\.[0-9] MiB' "$TEST_DIR/dry"
after=$(find "$STORE" -name 'segment-*' -printf '%f %s\n' | sort)
is 'and removes nothing' "$(wc -l <<<"$after")" "$(wc -l <<<"$before")"
ctl gc >"$TEST_DIR/wet"
is 'gc removes as much' "$(sed -n 's/^removed \([0-9]*\).*/\1/p' "$TEST_DIR/wet")" \
	"$(sed -n 's/^would remove \([0-9]*\).*/\1/p' "$TEST_DIR/dry")"
ok 'and it is used no more' less_than 120 used_mib
ok 'all that is left is sound' ctl check
ok 'it unmounts' mount_stop
ok 'then the disk has it back' less_than 150 disk_mib
ok 'it mounts again' mount_start
is 'the other file is what it was' "$(b2sum <"$MNT/stays")" "$sum"

# What a snapshot has, what is open, what is pinned, and what by-hash has open.
address=$(ctl snapshot before)
noise 40M >"$MNT/open"
noise 40M >"$MNT/hashed"
noise 40M >"$TEST_DIR/pinned"
pin=$(ctl put "$TEST_DIR/pinned")
hashed=$(getfattr --absolute-names --only-values -n user.dhtfs.address "$MNT/hashed")
exec 7<"$MNT/open" 8<"$MNT/by-hash/$hashed"
open_sum=$(b2sum <"$MNT/open")
hashed_sum=$(b2sum <"$MNT/hashed")
rm "$MNT/open" "$MNT/hashed" "$MNT/stays"
ok 'it collects' ctl gc
is 'a deleted file that is open stays' "$(b2sum <&7)" "$open_sum"
is 'so does what is open by its address' "$(b2sum <&8)" "$hashed_sum"
is 'a snapshot keeps what it had' "$(b2sum <"$MNT/by-hash/$address/stays")" "$sum"
is 'a pin keeps its file' "$(ctl get "$pin" | b2sum)" "$(b2sum <"$TEST_DIR/pinned")"
exec 7<&- 8<&-
ok 'it is unpinned' ctl unpin "$pin"
ok 'the mount is restarted with a rule that keeps none' mount_restart --keep none
touch "$MNT/new"
ok 'it collects' ctl gc
ok 'then all of it goes' less_than 10 used_mib
fails 'what is gone is not there' 'No such file' cat "$MNT/by-hash/$hashed"
fails 'also for get' 'nobody has' ctl get "$pin"
ok 'it unmounts' mount_stop

# diff.
ok 'it mounts' mount_start
mkdir "$MNT/d"
echo 1 >"$MNT/d/changed"
echo 1 >"$MNT/removed"
echo 1 >"$MNT/mode"
a=$(ctl snapshot a)
ctl diff "$a" now >"$TEST_DIR/diff"
is 'a tree does not differ from its snapshot' "$? $(<"$TEST_DIR/diff")" '0 '
echo 2 >"$MNT/d/changed"
rm "$MNT/removed"
chmod 600 "$MNT/mode"
mkdir "$MNT/added"
touch "$MNT/added/"$'new\nline'
ctl diff "$a" now >"$TEST_DIR/diff"
is 'diff tells what differs, its status that it does' "$? $(<"$TEST_DIR/diff")" $'1 + added/\n+ added/new?line\nM d/changed\nA mode\n- removed'
ctl diff "$a" "${a//[0-9]/0}" >"$TEST_DIR/diff" 2>&1
is 'trouble has a status of its own' $? 2
ok 'it unmounts' mount_stop

# Writers race collections.  What they write was there before and was deleted, so that it is garbage one
# moment and wanted the next; flushes of large files take long; many small indexes make a collection
# slow; and what is read is not what the kernel or the cache still has.
mount_use race
ok 'it mounts' mount_start --keep none --cache 4M
mkdir "$MNT/sparse"
python3 - "$MNT/sparse" <<'PYTHON'
import os, sys
for i in range(4000):
    with open(f"{sys.argv[1]}/{i}", "wb") as f:
        f.seek(100_000)
        f.write(b"%d" % i)
PYTHON
cat >"$TEST_DIR/race.py" <<'PYTHON'
import hashlib, os, random, sys, threading, time
mnt, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
print("SEED=%d" % seed)
rng0 = random.Random(seed)
pool = [rng0.randbytes(n) for n in (3000, 40_000, 300_000, 1_000_000, 4_000_000, 12_000_000) for _ in range(6)]
end = time.monotonic() + seconds
bad = []

def check(path, data):
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        with open(fd, "rb", closefd=False) as f:
            if f.read() != data:
                bad.append(path)
    finally:
        os.close(fd)

def write(path, at, data, how="r+b"):
    with open(path, how) as f:
        f.seek(at)
        f.write(data)

def clone(source, path, left):
    with open(source, "rb") as a, open(path, "wb") as b:
        while left > 0:
            left -= os.copy_file_range(a.fileno(), b.fileno(), left)

def step(rng, files, root):
    path = f"{root}/{rng.randrange(3)}"
    what = rng.randrange(10)
    if what < 5 or not files:
        files[path] = rng.choice(pool)
        write(path, 0, files[path], "wb")
        return
    old = rng.choice(list(files))
    if what < 6:
        part = rng.choice(pool)[: rng.randrange(1, 100_000)]
        at = rng.randrange(len(files[old]) + 1)
        write(old, at, part)
        files[old] = files[old][:at] + part + files[old][at + len(part):]
    elif what < 7 and old != path:
        clone(old, path, len(files[old]))
        files[path] = files[old]
    elif what < 9:
        check(old, files[old])
    else:
        os.unlink(old)
        del files[old]

def worker(number):
    rng = random.Random(seed + number)
    root = f"{mnt}/{number}"
    files = {}
    os.makedirs(root, exist_ok=True)
    try:
        while time.monotonic() < end and not bad:
            step(rng, files, root)
        for path, data in files.items():
            check(path, data)
    except Exception as error:
        bad.append(repr(error))
    with open(f"{root}.list", "w") as out:
        for path, data in files.items():
            print(hashlib.blake2b(data).hexdigest(), path, sep="  ", file=out)

# Small writes all over a large file: their flush takes a second, which is longer than what comes between the
# beginning of a collection and its look at the files.
def scatter(number):
    rng = random.Random(seed + number)
    path = f"{mnt}/scattered"
    data = bytearray(rng.randbytes(48_000_000))
    write(path, 0, data, "wb")
    try:
        while time.monotonic() < end and not bad:
            with open(path, "r+b", buffering=0) as f:
                for _ in range(2000):
                    at = rng.randrange(len(data) - 4096)
                    part = rng.randbytes(4096)
                    f.seek(at)
                    f.write(part)
                    data[at : at + 4096] = part
            check(path, data)
    except Exception as error:
        bad.append(repr(error))

threads = [threading.Thread(target=worker, args=(i,)) for i in range(4)]
threads.append(threading.Thread(target=scatter, args=(4,)))
for t in threads:
    t.start()
for t in threads:
    t.join()
print("bad:", bad)
sys.exit(bool(bad))
PYTHON
SEED=${SEED:-$RANDOM}
python3 "$TEST_DIR/race.py" "$MNT" "$seconds" "$SEED" >"$TEST_DIR/race.out" 2>&1 &
racer=$!
collections=0
while kill -0 $racer 2>/dev/null; do
	ctl gc >/dev/null 2>&1 && collections=$((collections + 1))
done
wait $racer
is "writers beside collections read what they wrote ($(head -n 1 "$TEST_DIR/race.out"))" \
	"$? $(tail -n 1 "$TEST_DIR/race.out")" '0 bad: []'
ok "there were some collections ($collections)" test $collections -gt 1
ok 'it unmounts' mount_stop
ok 'it mounts again' mount_start --keep none
ok 'it collects' ctl gc
ok 'and everything is what was written' b2sum --quiet -c "$MNT"/*.list
ok 'all that is left is sound' ctl check
is 'no node was lost' "$(ctl --json gc | grep -o '"bad": [0-9]*')" '"bad": 0'

# kill -9 in the midst of it.
verify() { b2sum --quiet -c "$TEST_DIR/acknowledged"; }
: >"$TEST_DIR/acknowledged"
lost=0
for ((i = 0; i < rounds; i++)); do
	for j in 1 2 3; do
		noise 8M >"$MNT/kept-$i-$j"
		noise 12M >"$MNT/gone-$i-$j"
	done
	sync "$MNT"
	b2sum "$MNT"/kept-$i-* >>"$TEST_DIR/acknowledged"
	rm "$MNT"/gone-$i-*
	(while ctl gc; do :; done) >/dev/null 2>&1 &
	collector=$!
	sleep "0.$((RANDOM % 9 + 1))"
	mount_kill
	wait $collector
	if ! mount_start --keep none || ! verify >"$TEST_DIR/verify" 2>&1; then
		lost=1
		diag "$(<"$TEST_DIR/verify")"
		break
	fi
done
is 'kill -9 during collections and cleaning loses nothing' $lost 0
ok 'it collects' ctl gc
ok 'and still nothing is lost' verify
ok 'all that is left is sound' ctl check
ok 'it unmounts' mount_stop

# A limit: kept while everything is written over, full, and emptied again.
mount_use limit
limit_mib=512
ok 'it mounts with a limit' mount_start --size-max ${limit_mib}M
cat >"$TEST_DIR/overwrite.py" <<'PYTHON'
import os, random, sys
mnt, total, size, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
rng = random.Random(7)
names = [f"{mnt}/f{i}" for i in range(total // size)]
for _ in range(times):
    for name in rng.sample(names, len(names)):
        with open(name, "wb") as f:
            f.write(os.urandom(size))
PYTHON
most=0
python3 "$TEST_DIR/overwrite.py" "$MNT" $((400 << 20)) $((8 << 20)) 3 >"$TEST_DIR/overwrite" 2>&1 &
writer=$!
while kill -0 $writer 2>/dev/null; do
	now=$(disk_mib)
	[ "$now" -le "$most" ] || most=$now
	sleep 0.2
done
wait $writer
is 'a store that is 80 % full can be written over again and again' "$? $(tail -n 1 "$TEST_DIR/overwrite")" '0 '
ok "the limit was kept within a segment ($most MiB of $limit_mib)" test "$most" -le $((limit_mib + 256))
ok 'the newest snapshot is still there' ls "$MNT/by-hash/$(ctl snapshots | tail -n 1 | cut -d' ' -f3)/f1"
ok 'all is sound' ctl check
if timeout 120 dd if=/dev/urandom of="$MNT/large" bs=1M count=600 conv=fsync 2>"$TEST_DIR/dd"; then
	tap 1 'at last a writer is told that the store is full'
else
	ok 'at last a writer is told that the store is full' grep -q 'No space left' "$TEST_DIR/dd"
fi
ok 'files are deleted all the same' timeout 30 rm "$MNT/large" "$MNT"/f1*
ok 'then there is room again' timeout 60 dd if=/dev/urandom of="$MNT/again" bs=1M count=40 conv=fsync
ok 'statfs says so' wait_until 30 bash -c "[ \$(df --output=avail -k '$MNT' | tail -n 1) -gt 20000 ]"
ok 'it unmounts' mount_stop
ok 'it mounts again' mount_start --size-max ${limit_mib}M
ok 'all is sound' ctl check
ok 'it unmounts' mount_stop

# How much is written to the disk.
written() { awk '/^write_bytes/ { print $2 }' "/proc/$(mount_pid)/io"; }
mount_use amount
mib=${SOAK:+1024}
mib=${mib:-256}
ok 'it mounts' mount_start
before=$(written)
noise "${mib}M" >"$MNT/one"
sync "$MNT"
amount=$(($(written) - before))
ok "what is written to an empty store costs 1.10 times its size ($((amount * 100 / (mib << 20))) %)" \
	test $((amount * 100)) -le $(((mib << 20) * 110))
ok 'it unmounts' mount_stop
mount_use over
limit=${SOAK:+2048}
limit=${limit:-512}
ok 'it mounts with a limit' mount_start --size-max ${limit}M
data=$(((limit << 20) * 8 / 10))
python3 "$TEST_DIR/overwrite.py" "$MNT" $data $((4 << 20)) 1
sync "$MNT"
before=$(written)
ok 'a store at 80 % is written over once' python3 "$TEST_DIR/overwrite.py" "$MNT" $data $((4 << 20)) 1
sync "$MNT"
amount=$(($(written) - before))
ok "that costs 1.6 times its size ($((amount * 100 / data)) %)" test $((amount * 100)) -le $((data * 160))
ok 'it unmounts' mount_stop
done_testing
