# dhtctl: each command against a running mount, and a server that garbage and hanging clients can't hurt.
. "$(dirname "$0")/../lib/mount.sh"

ctl() {
	timeout "$MOUNT_BOUND_S" "$B/dhtctl" --store "$STORE" "$@"
}

# exits NAME STATUS TEXT ARGUMENT...: dhtctl ends with this status, and TEXT is in what it says.
exits() {
	local output status
	output=$(ctl "${@:4}" 2>&1)
	status=$?
	if [ "$status" = "$2" ] && [[ $output == *"$3"* ]]; then
		tap 0 "$1"
	else
		tap 1 "$1"
		diag "status $status, wanted $2, and '$3' in: $output"
	fi
}

# json FIELD ARGUMENT...: a field of the answer.
json() {
	ctl --json "${@:2}" | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

# put_and_get NAME FILE: what comes back is what went in; its address goes to ${address}.
put_and_get() {
	address=$(ctl put "$2")
	ctl get "$address" >"$TEST_DIR/back"
	ok "$1" cmp "$2" "$TEST_DIR/back"
}

# clients N WHAT: ${N} connections that send WHAT and hang, until their process ends; sets ${clients}.
clients() {
	python3 - "$STORE/control" "$1" "$2" "$TEST_DIR/connected" <<-'PYTHON' &
		import socket, sys, time
		path, n, what, ready = sys.argv[1:]
		open_now = []
		for i in range(int(n)):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(path)
		    s.sendall(eval(what))
		    open_now.append(s)
		open(ready, "w").close()
		time.sleep(600)
	PYTHON
	clients=$!
	wait_until "$MOUNT_BOUND_S" test -e "$TEST_DIR/connected"
	rm -f "$TEST_DIR/connected"
}

end_clients() {
	kill -KILL "$clients"
	wait "$clients" 2>/dev/null
}

answers() {
	ctl status >/dev/null 2>&1
}

is_busy() {
	[[ $(ctl status 2>&1) == *busy* ]]
}

# Without a mount.
exits "a store that is not there" 1 "there is no store"  status
mkdir "$STORE"
exits "a store that nothing has open" 1 "mount it with: dhtfs --store $STORE" status
exits "help" 0 "usage: dhtctl" --help
exits "the version" 0 "dhtctl " -V
exits "an unknown command is named" 2 "frobnicate" frobnicate
exits "an unknown option is named" 2 "frobnicate" --frobnicate
exits "no command" 2 "command"
exits "a missing argument" 2 "get" get
exits "an argument too many" 2 "more" status more
exits "an address that is none is named" 2 "xyz" get xyz
exits "a rate that is none is named" 2 "fast" check --rate fast

ok "it mounts" mount_start
is "the socket is private" "$(stat -c %a "$STORE/control")" 600

# status
mkdir "$MNT/d"
exits "status shows the mount point" 0 "$MNT" status
exits "and the store" 0 "$STORE" status
is "in JSON too" "$(json mountpoint status)" "$MNT"
is "and the process" "$(json pid status)" "$(mount_pid)"
is "and how many files there are" "$(json inodes status)" 2

# put, get, pins, unpin
cd "$TEST_DIR" || exit
: >empty
echo hello >small
head -c 5000000 /dev/urandom >large
yes "a line that compresses" | head -c 5000000 >lines
head -c 300000 small large >sparse
truncate -s 256M sparse
echo end >>sparse
put_and_get "an empty file" empty
is "has the address of no bytes" "$address" "$(b2sum -l 256 <empty | cut -d' ' -f1)"
put_and_get "a small file" small
is "has the address that b2sum prints" "$address" "$(b2sum -l 256 <small | cut -d' ' -f1)"
small=$address
put_and_get "a large file" large
large=$address
put_and_get "a file that compresses" lines
put_and_get "a sparse file" sparse
sparse=$address
ok "has its holes again" test "$(stat -c %b back)" -lt 4000
is "and the same address from a pipe" "$(cat sparse | ctl put -)" "$sparse"
ok "holes are zeros in a pipe" sh -c "'$B/dhtctl' --store '$STORE' get $sparse | cmp - sparse"
echo longer than the file that goes there >over
ctl get "$small" 1<>over
is "a file that is written over keeps its end" "$(cat over)" "hello
$(echo longer than the file that goes there | tail -c +7)"
is "standard input is a file like others" "$(ctl put - <large)" "$large"
is "the large file is in the tree of addresses" "$(cmp "$MNT/by-hash/$large" large && echo same)" same
is "an address may be in upper case" "$(ctl get "${small^^}")" hello
is "there are five pins" "$(ctl pins | wc -l)" 5
is "in JSON too" "$(ctl --json pins | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')" 5
exits "a pin has its size" 0 "$small 6 B" pins
nobody_has=$(printf 'f%.0s' {1..64})
exits "what nobody has is not got" 1 "nobody has $nobody_has" get "$nobody_has"
exits "nor unpinned" 1 "is not pinned" unpin "$nobody_has"
exits "a file that is not there" 1 "No such file" put "$TEST_DIR/missing"
exits "a directory" 1 "Is a directory" put "$TEST_DIR"
exits "unpin" 0 "" unpin "$small"
is "leaves four pins" "$(ctl pins | wc -l)" 4
fails "a full disk at the other end" "No space left" sh -c "'$B/dhtctl' --store '$STORE' get $large >/dev/full"

# snapshot, snapshots, sync
snapshot=$(ctl snapshot "before the change")
ok "a snapshot has an address" test ${#snapshot} = 64
exits "it is listed" 0 "$snapshot" snapshots
is "in JSON too" "$(ctl --json snapshots | python3 -c 'import json, sys; print(json.load(sys.stdin)[-1]["address"])')" \
    "$snapshot"
is "and in the status" "$(json snapshot status)" "$snapshot"
is "nothing has changed since" "$(json address sync)" "$snapshot"
mkdir "$MNT/e"
ok "after a change" test "$(json address sync)" != "$snapshot"
exits "it can't be got" 1 "this is a snapshot" get "$snapshot"
is "but looked into" "$(ls "$MNT/by-hash/$snapshot")" d
directory=$(getfattr --only-values -n user.dhtfs.address "$MNT/d" 2>/dev/null)
exits "nor can a directory" 1 "this is a directory" get "$directory"
exits "a note has a bound" 1 "too long" snapshot "$(head -c 2000 large | od -An -v -tx1 | tr -d ' \n')"

# check
exits "all is well" 0 "each is what its address says" check
is "in JSON too" "$(json bad check)" 0
exits "at a rate" 0 "each is" check --rate 100M

# After a restart.
pid=$(mount_pid)
exits "a mounted store is not rebuilt, and its process is named" 1 "$pid" rebuild
ok "it ends" mount_stop
exits "rebuild" 0 "each is" rebuild
ok "it mounts again" mount_start
is "with its pins" "$(ctl pins | wc -l)" 4
is "and its snapshots" "$(ctl snapshots | grep -c "$snapshot")" 1
ok "and what was put" sh -c "'$B/dhtctl' --store '$STORE' get $large | cmp - large"

# Others who connect.
clients 16 'b""'
exits "with 16 that say nothing it is busy" 1 "busy" status
end_clients
ok "when they have gone it answers" wait_until 10 answers
for garbage in 'b"GET / HTTP/1.1\r\n\r\n"' 'b"\xff" * 5' 'b"\1\xff\xff\xff\xff"' 'b"\1\0\0\0\0"' \
    'b"\1\4\0\0\0" + b"abcd"' 'b"\1\x10\0\0\0scommand\0status"' 'b"\4\0\0\x10\0" + b"x" * 1000'; do
	clients 3 "$garbage"
	ok "after $garbage it answers" answers
	end_clients
done
clients 8 'b"\1\x0d\0\0\0" + b"scommand\0put\0" + b"\4\0\0\1\0" + b"x" * 1000'
ok "with 8 puts that hang it answers" answers
cd / || exit
start=$EPOCHSECONDS
ok "and the mount can be ended" mount_stop
ok "soon" test $((EPOCHSECONDS - start)) -lt 20
end_clients
cd "$TEST_DIR" || exit
is "its socket has gone" "$(find "$STORE" -name control)" ""

# A command stops with who gave it: a check that would take hours does not go on.
ok "it mounts again" mount_start
clients 15 'b""'
checker=999999999
# Asking whether it is busy takes a place too, and then the check is refused.
check_runs() {
	if process_ended "$checker"; then
		"$B/dhtctl" --store "$STORE" check --rate 1K >/dev/null 2>&1 &
		checker=$!
	fi
	is_busy && ! process_ended "$checker" && is_busy
}
ok "a check takes the last place" wait_until 10 check_runs
kill -TERM "$checker"
wait "$checker" 2>/dev/null
ok "a check whose client has gone stops" wait_until 10 answers
end_clients

# Damage: one byte of what only the large file has.
place=$(python3 - "$STORE" large <<-'PYTHON'
	import glob, sys
	needle = open(sys.argv[2], "rb").read()[2000000:2000032]
	for name in glob.glob(sys.argv[1] + "/segment-*"):
	    at = open(name, "rb").read().find(needle)
	    if at >= 0:
	        print(name, at)
	PYTHON
)
"$B/dhtctl" --store "$STORE" check --rate 1K >/dev/null 2>&1 &
checker=$!
cd / || exit
ok "nor does a check keep the mount from its end" mount_stop
wait "$checker"
is "of which it is told" $? 1
cd "$TEST_DIR" || exit
ok "it mounts again" mount_start
printf '\0\0\0\0\0\0\0\0' | dd of="${place% *}" bs=1 seek="${place#* }" conv=notrunc status=none
exits "check finds it" 1 "1 damaged" check
is "the status counts it" "$(json set_aside status)" 1
fails "the file can't be got" "dhtctl:" sh -c "'$B/dhtctl' --store '$STORE' get $large >/dev/null"
ok "the others can" sh -c "'$B/dhtctl' --store '$STORE' get $sparse | cmp - sparse"
is "putting it again" "$(ctl put large)" "$large"
ok "mends it" sh -c "'$B/dhtctl' --store '$STORE' get $large | cmp - large"
exits "and check is content" 0 "each is" check

# rebuild
ok "it ends" mount_stop
exits "rebuild finds what is damaged" 1 "1 damaged" rebuild
is "in JSON too" "$(json bad rebuild 2>/dev/null)" 1
rm "$STORE/ledger"
exits "rebuild without an index" 1 "chunks" rebuild
exits "a store that is not there is not made" 1 "No such file" --store "$TEST_DIR/missing" rebuild
is "indeed" "$(ls -d missing 2>/dev/null)" ""
ok "it mounts" mount_start
ok "and has everything" sh -c "'$B/dhtctl' --store '$STORE' get $large | cmp - large"
is "with its pins" "$(ctl pins | wc -l)" 4
ok "it ends" mount_stop
done_testing
