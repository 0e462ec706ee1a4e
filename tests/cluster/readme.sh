#!/bin/bash
# The README's example of several machines, each a network namespace with a home of its own: every command as it stands there.
. "$(dirname "$0")/lib.sh"

if ! net_create 1 2 3 4 2>"$TEST_DIR/why"; then
	skip 'several machines' "no network namespaces here: $(<"$TEST_DIR/why")"
	done_testing
fi

# "MACHINE COMMAND" lines: who it is stands in the comment above, and B's commands stand in the right half.
awk '/^## Several machines/ { there = 1 }
	there && /^```sh$/ { in_it = 1; next }
	in_it && /^```$/ { exit }
	!in_it || !NF { next }
	/^# A burns down/ { print "A burns" }
	/^#/ { if (match($0, /[A-D][,:]|[A-D]$|[A-D] +B/)) machine = substr($0, RSTART, 1); if (/burns/) machine = "D"; next }
	/^   / { sub(/^ +/, ""); print "B " $0; next }
	{ sub(/ +#.*/, ""); print machine " " $0 }' "$top/README.md" >"$TEST_DIR/commands"
[ "$(wc -l <"$TEST_DIR/commands")" -gt 10 ]
tap $? 'the README has an example' || diag "$(<"$TEST_DIR/commands")"

declare -A number=([A]=1 [B]=2 [C]=3 [D]=4)
for m in A B C D; do mkdir -p "$TEST_DIR/$m/mnt/dht" "$TEST_DIR/$m/mnt/a" "$TEST_DIR/$m/srv" "$TEST_DIR/$m/home"; done
head -c 20000000 /dev/urandom >"$TEST_DIR/A/film.mkv"

# on MACHINE COMMAND: in its folder and its network.
on() {
	(
		cd "$TEST_DIR/$1" || exit
		export HOME=$TEST_DIR/$1/home XDG_DATA_HOME=$TEST_DIR/$1/home/data PATH=$B:$PATH
		unset XDG_CONFIG_HOME
		mkdir -p "$XDG_DATA_HOME"
		net_in "${number[$1]}" timeout 120 bash -c "$2"
	)
}

pids_of() {
	local p
	for p in /proc/[0-9]*; do
		[[ $(readlink "$p/exe") != "$B"/dht* ]] || ! grep -qaF "$TEST_DIR/$1/" "$p/environ" || echo "${p#/proc/}"
	done 2>/dev/null
}
burn() {
	local pids
	pids=$(pids_of "$1")
	[ -z "$pids" ] || kill -KILL $pids
	umount -l "$TEST_DIR/$1"/mnt/* 2>/dev/null
	rm -rf "${TEST_DIR:?}/$1/home"
}
finish() {
	local m pids
	for m in A B C D; do
		pids=$(pids_of "$m")
		[ -z "$pids" ] || kill $pids
	done
	for m in A B C D; do wait_until 30 none_of "$m" || burn "$m"; done
}
none_of() { [ -z "$(pids_of "$1")" ]; }
trap 'status=$?; finish; (exit $status); cluster_cleanup' EXIT

# While a table is new somebody may have no answer yet.
proved() {
	diag "$(on A "dhtctl where $address; getfattr --only-values -n user.dhtfs.replicas $TEST_DIR/A/mnt/dht/film.mkv" 2>&1)"
	on A "getfattr --only-values -n user.dhtfs.replicas $TEST_DIR/A/mnt/dht/film.mkv" 2>/dev/null | grep -q 3/3
}

# What is to be seen, and what later commands need of it.
look() {
	case $1 in
	*'ring create'*) for m in B C D; do cp "$TEST_DIR/A/lab.ring" "$TEST_DIR/$m/"; done ;;
	*user.dhtfs.address*) address=$2 && [ ${#2} = 64 ] ;;
	*user.dhtfs.replicas*) [ "$2" = 3/3 ] || wait_until 20 proved ;;
	'dhtctl status') grep -q 'members *3' <<<"$2" ;;
	'dhtctl volume') public=$(grep -oE '[0-9a-f]{64}' <<<"$2" | head -n 1) && [ -n "$public" ] ;;
	'dhtctl volume export'*) mv "$TEST_DIR/A/a.key" "$TEST_DIR/D/" ;;
	*film.mkv) [ ! -e "$TEST_DIR/C/film.mkv" ] || cmp "$TEST_DIR/A/film.mkv" "$TEST_DIR/C/film.mkv" ;;
	*--follow*) wait_until 30 cmp -s "$TEST_DIR/A/film.mkv" "$TEST_DIR/C/mnt/a/film.mkv" ;;
	*--volume*) wait_until 30 cmp -s "$TEST_DIR/A/film.mkv" "$TEST_DIR/D/mnt/dht/film.mkv" ;;
	*) ;;
	esac
}

while read -r -u 3 machine command; do
	if [ "$command" = burns ]; then
		burn A
		continue
	fi
	run=${command//\/mnt\//$TEST_DIR/$machine/mnt/}
	run=${run//\/srv\//$TEST_DIR/$machine/srv/}
	run=${run/ADDRESS/${address:-}}
	run=${run/PUBLICKEY/${public:-}}
	run=${run/volume export/volume export --yes} # it asks, and nobody is there
	output=$(on "$machine" "$run" 2>"$TEST_DIR/errors" </dev/null)
	status=$?
	[ "$status" = 0 ] && look "$command" "$output"
	tap $? "$machine: $command" || diag "status $status: ${output:0:1000} $(<"$TEST_DIR/errors")"
	# Before W others are there no fsync can succeed.
	[[ $command != dhtfs*10.0.0.3* ]] || wait_until 30 on A 'dhtctl status | grep -q "members *3"'
done 3<"$TEST_DIR/commands"
done_testing
