# shellcheck shell=bash
# lib.sh: for cluster tests, which source it: a ring of real processes, each node a number.  All of tests/lib/mount.sh is there
# too: of a node that is a mount, node N makes MNT, STORE and LOG those of N.  What was started is ended when the test exits.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/mount.sh"
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
helpers=$top/tests/cluster/helpers
built cluster-helpers cluster/helpers/faultproxy cluster/helpers/liar
RING=$TEST_DIR/lab.ring
BOUND_S=${BOUND_S:-60}

# Of 127.0.0.0/8, so that no two tests at a time meet; net_create changes it.
NET=127.$((1 + SRANDOM % 254)).$((1 + SRANDOM % 254))
declare -A daemon_pids=()    # by node, of each dhtd that was started and neither stopped nor killed
declare -A proxy_pids=() proxy_fds=()
declare -A net_pids=()       # by node: who holds its network namespace; hub: the bridge's
declare -A PREFIX_OF=()      # by node: what its program runs under

node() {
	mount_use "$1"
}

address() {
	echo "$NET.$1"
}

ring_create() {
	"$B/dhtctl" ring create "$RING" "$@"
}

# node_start N dhtd|dhtfs [OPTION...]: 0 when it runs; a mount, when it answers.  On a store that is there it needs no --join.
node_start() {
	local join=()
	node "$1"
	[ "$1" = 1 ] || [ -d "$STORE" ] || join=(--join "$(address 1)")
	read -ra PREFIX <<<"${PREFIX_OF[$1]:-}"
	[ -z "${net_pids[$1]:-}" ] || PREFIX=(nsenter --net="/proc/${net_pids[$1]}/ns/net")
	set -- "$1" "$2" --ring "$RING" --listen "$(address "$1")" "${join[@]}" "${@:3}"
	if [ "$2" = dhtfs ]; then
		mount_start "${@:3}"
		return
	fi
	"${PREFIX[@]}" "$B/dhtd" -f --store "$STORE" "${@:3}" >>"$LOG" 2>&1 &
	daemon_pids[$1]=$!
	wait_until "$BOUND_S" node_answers_or_ended "$1" && node_answers "$1" && return
	node_kill "$1"
	return 1
}

node_answers() {
	"$B/dhtctl" --store "$TEST_DIR/$1/store" status >/dev/null 2>&1
}

node_answers_or_ended() {
	node_answers "$1" || process_ended "${daemon_pids[$1]}"
}

node_pid() {
	echo "${daemon_pids[$1]:-${mount_pids[$TEST_DIR/$1/mnt]:-}}"
}

# ring_of_three: its own tests: node 1, with its mount A, writes; 2 and 3 keep copies.
ring_of_three() {
	ok 'a ring is made' ring_create
	ok 'A writes' node_start 1 dhtfs --timeout 10
	ok 'B keeps copies' node_start 2 dhtd
	ok 'C too' node_start 3 dhtd
	ok 'all see all' views 3 0 1 2 3
	A=$TEST_DIR/1/mnt
}

# node_stop N: as a user does.  0 when it ended in time, with status 0.
node_stop() {
	local pid=${daemon_pids[$1]:-} status
	node "$1"
	[ -n "$pid" ] || { mount_stop; return; }
	kill -TERM "$pid"
	wait_until "$BOUND_S" process_ended "$pid" || { diag "node $1 does not end"; node_kill "$1"; return 1; }
	wait "$pid"
	status=$?
	unset "daemon_pids[$1]"
	[ "$status" = 0 ] || diag "node $1 ended with status $status: $(tail -n 20 "$LOG")"
	[ "$status" = 0 ]
}

# node_kill N: kill -9; a mount is taken away, too.
node_kill() {
	local pid=${daemon_pids[$1]:-}
	node "$1"
	[ -n "$pid" ] || { mount_kill; return; }
	unset "daemon_pids[$1]"
	{
		kill -KILL "$pid"
		wait "$pid"
	} 2>/dev/null
	return 0
}

node_wipe() {
	rm -rf "$TEST_DIR/$1/store"
}

ctl() {
	"$B/dhtctl" --store "$TEST_DIR/$1/store" "${@:2}"
}

# field N NAME: of its status.
field() {
	ctl "$1" --json status 2>/dev/null | grep -oP "\"$2\": \"?\\K[^\",}]*"
}

# sees N MEMBERS DOWN: it is in the ring, and this is its view.  (Who keeps nothing for others is in it as one who drains.)
sees() {
	[[ $(ctl "$1" --json status 2>/dev/null | grep -oP '"(ring_state|members|members_down)": "?\K[^",}]*' | xargs) == @(here|draining)" $2 $3" ]]
}

all_see() {
	local n
	for n in "${@:3}"; do sees "$n" "$1" "$2" || return; done
}

# views MEMBERS DOWN N...: until each of these nodes has this view.
views() {
	wait_until "$BOUND_S" all_see "$@" && return
	local n
	for n in "${@:3}"; do ctl "$n" status; done
	return 1
}

is_complete() {
	[ "$(field "$1" slots_incomplete)" = 0 ] && [ "$(field "$1" records_foreign)" = 0 ]
}

all_complete() {
	local n
	for n in "$@"; do is_complete "$n" || return; done
}

# complete N...: until each has all that it owns, and nothing that others should have.
complete() {
	wait_until "$BOUND_S" all_complete "$@" && return
	local n
	for n in "$@"; do ctl "$n" status; done
	return 1
}

xattr() {
	getfattr --absolute-names --only-values -n "user.dhtfs.$2" "$1" 2>/dev/null
}

has_replicas() {
	[ "$(xattr "$1" replicas)" = "$2" ]
}

# replicas PATH n/n: until it has so many.
replicas() {
	wait_until "$BOUND_S" has_replicas "$1" "$2" && return
	xattr "$1" replicas
	return 1
}

# digest DIR: of all names and bytes below it.
digest() {
	(cd "$1" && find . -type f -print0 | sort -z | xargs -0r b2sum -l 256) | b2sum -l 256
}

# contents DIR: the same a file, to be compared, without by-hash.
contents() {
	(cd "$1" && find . -path ./by-hash -prune -o -type f -exec sha256sum {} + | sort)
}

said() {
	grep -q -- "$2" "$TEST_DIR/$1/log"
}

load() {
	python3 "$helpers/load.py" "$@"
}

# ---- a proxy in front of a node ----

# proxy_start NAME LISTEN TARGET
proxy_start() {
	local fd
	mkfifo "$TEST_DIR/proxy.$1"
	"$B/tests/cluster/helpers/faultproxy" "$2" "$3" <"$TEST_DIR/proxy.$1" >"$TEST_DIR/proxy.$1.out" &
	proxy_pids[$1]=$!
	exec {fd}>"$TEST_DIR/proxy.$1"
	proxy_fds[$1]=$fd
	wait_until 10 grep -qs ready "$TEST_DIR/proxy.$1.out"
}

# proxy NAME COMMAND: it is carried out when this returns.
proxy() {
	local before
	before=$(grep -c ok "$TEST_DIR/proxy.$1.out")
	# In a shell of its own, which a proxy that is gone may end by SIGPIPE.
	(echo "${*:2}" >&"${proxy_fds[$1]}")
	wait_until 10 proxy_did_or_ended "$1" "$before" && proxy_did "$1" "$before" && return
	process_ended "${proxy_pids[$1]}" || { echo "proxy $1 does not answer"; return 1; }
	wait "${proxy_pids[$1]}"
	echo "proxy $1 is gone, with status $?"
	return 1
}

proxy_did() {
	[ "$(grep -c ok "$TEST_DIR/proxy.$1.out")" -gt "$2" ]
}

proxy_did_or_ended() {
	proxy_did "$@" || process_ended "${proxy_pids[$1]}"
}

# ---- network namespaces ----

# net_create N...: one for each of these nodes, at one switch.  1: this machine or user can't.
net_create() {
	local n
	net_holder hub || return
	net_in hub ip link add switch type bridge && net_in hub ip link set switch up || return
	NET=10.0.0
	for n in "$@"; do
		net_holder "$n" &&
		net_in hub ip link add "port$n" type veth peer name eth0 netns "${net_pids[$n]}" &&
		net_in hub ip link set "port$n" master switch up &&
		net_in "$n" ip address add "$(address "$n")/24" dev eth0 &&
		net_in "$n" ip link set eth0 up &&
		net_in "$n" ip link set lo up || return
	done
}

net_holder() {
	unshare --net sleep infinity 2>/dev/null &
	net_pids[$1]=$!
	wait_until 10 net_is_apart "${net_pids[$1]}"
}

net_is_apart() {
	[ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ] && [ "$(cat "/proc/$1/comm")" = sleep ]
}

net_in() {
	nsenter --net="/proc/${net_pids[$1]}/ns/net" "${@:2}"
}

# net_drop N MATCH...: what comes to N and is like this (nft's words) is lost, from now on.
net_drop() {
	net_in "$1" nft add table inet test &&
	net_in "$1" nft add chain inet test in '{ type filter hook input priority 0; }' &&
	net_in "$1" nft add rule inet test in "${@:2}" drop
}

net_heal() {
	net_in "$1" nft delete table inet test
}

# ---- the end ----

end_daemons() {
	local n pid
	for n in "${!daemon_pids[@]}"; do
		kill -CONT "${daemon_pids[$n]}"
		# A leak, or a bad end, would show only now.
		[ "$1" != 0 ] || node_stop "$n" || return
		node_kill "$n"
	done
	for pid in "${proxy_pids[@]}" "${net_pids[@]}"; do
		kill "$pid" && wait "$pid"
	done 2>/dev/null
	return 0
}

# cluster_cleanup [STATUS]: of the script, where something else was done before.
cluster_cleanup() {
	local status=${1:-$?}
	trap '' INT TERM HUP
	if [ "$tests_failed" != 0 ]; then
		for LOG in "$TEST_DIR"/*/log; do
			[ ! -s "$LOG" ] || diag "$LOG ends:" "$(tail -n 15 "$LOG")"
		done
	fi
	# Mounts first: they may have something to hand over.
	for MNT in "${!mount_pids[@]}"; do
		kill -CONT "${mount_pids[$MNT]}"
		LOG=${MNT%/mnt}/log
		[ "$status" != 0 ] || mount_stop || { diag "$MNT does not end well"; status=1; }
		mount_kill >/dev/null
	done
	end_daemons "$status" || { diag 'a node does not end well'; status=1; }
	end_daemons 1
	exit "$status"
}
trap cluster_cleanup EXIT
