# shellcheck shell=bash
# mount.sh: for mount tests, which source it: TAP, waiting with a bound, and a dhtfs of their own.
# tests/run gives B (the build), TEST_DIR (an empty directory) and SLOW.  Whatever happens to the test, the
# process it started is ended and its mount is gone when it exits.
set -u
export LC_ALL=C
export XDG_CONFIG_HOME=$TEST_DIR/config # settings of whoever runs the tests are not ours
umask 022

# The mount that the functions below act on; mount_use NAME changes to another.
MOUNT_PROGRAM=${MOUNT_PROGRAM:-$B/dhtfs}
PREFIX=() # of its command line: what it runs under
MNT=$TEST_DIR/mnt
STORE=$TEST_DIR/store
LOG=$TEST_DIR/log
MOUNT_BOUND_S=${MOUNT_BOUND_S:-60}
declare -A mount_pids=() # by MNT, of those that were started and neither stopped nor killed

tests_run=0
tests_failed=0

diag() {
	local line
	while IFS= read -r line; do echo "# $line"; done <<<"$*"
}

# tap OUTCOME NAME: one result line; 0 is a pass.
tap() {
	tests_run=$((tests_run + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tests_run - $2"
	else
		tests_failed=$((tests_failed + 1))
		echo "not ok $tests_run - $2"
		diag "line ${BASH_LINENO[1]} of $0"
		return 1
	fi
}

# ok NAME COMMAND...: the command succeeds.  It runs in this shell: mount_start can be one.
ok() {
	local status
	"${@:2}" >"$TEST_DIR/.output" 2>&1
	status=$?
	tap "$status" "$1" || { diag "status $status of: ${*:2}"; diag "$(<"$TEST_DIR/.output")"; return 1; }
}

# fails NAME TEXT COMMAND...: the command fails, and its output has TEXT in it (an errno's, say).
fails() {
	local output status outcome=1
	"${@:3}" >"$TEST_DIR/.output" 2>&1
	status=$?
	output=$(<"$TEST_DIR/.output")
	[ "$status" = 0 ] || [[ $output != *"$2"* ]] || outcome=0
	tap "$outcome" "$1" || { diag "status $status, wanted '$2', of: ${*:3}"; diag "$output"; return 1; }
}

# is NAME GOT WANTED: the same string.
is() {
	local outcome=0
	[ "$2" = "$3" ] || outcome=1
	tap "$outcome" "$1" && return
	if [ "${#2}" -gt 2000 ] || [ "${#3}" -gt 2000 ]; then
		diag "$(diff <(echo "$2") <(echo "$3") | cut -c1-300 | head -n 40)"
	else
		diag "got:    $2"
		diag "wanted: $3"
	fi
	return 1
}

# skip NAME REASON: for what this machine can't do.
skip() {
	tests_run=$((tests_run + 1))
	echo "ok $tests_run # SKIP $1: $2"
}

# cases COMMAND...: its lines "pass NAME", "fail NAME" and "skip NAME: REASON" are results here; others
# explain the last one.
cases() {
	local word rest results=0
	while read -r word rest; do
		case $word in
		pass) tap 0 "$rest" ;;
		fail) tap 1 "$rest" ;;
		skip) skip "${rest%%: *}" "${rest#*: }" ;;
		*) diag "$word $rest" && continue ;;
		esac
		results=$((results + 1))
	done < <("$@" 2>&1)
	[ "$results" -gt 0 ] || tap 1 "results of $*"
}

# plan N is optional; done_testing is not: a test that ends without it has failed.
plan() {
	tests_planned=$1
	echo "1..$1"
}

done_testing() {
	[ -n "${tests_planned:-}" ] || echo "1..$tests_run"
	[ "$tests_failed" = 0 ] && [ "${tests_planned:-$tests_run}" = "$tests_run" ]
	exit
}

bail_out() {
	echo "Bail out! $1"
	exit 1
}

# built TARGET FILE...: helpers, below B/tests, that a test runs.
built() {
	local file
	for file in "${@:2}"; do
		[ -e "$B/tests/$file" ] || bail_out "$B/tests/$file is missing: make $1"
	done
}

# wait_until SECONDS COMMAND...: try it until it succeeds; 1 when it has not in that time (of a plain build).
wait_until() {
	local deadline=$((${EPOCHREALTIME/./} + $1 * SLOW * 1000000))
	until "${@:2}"; do
		[ "${EPOCHREALTIME/./}" -lt "$deadline" ] || return 1
		sleep 0.02
	done
}

# mount_use NAME: from here on MNT, STORE and LOG are those of another mount, mounted or not.
mount_use() {
	mkdir -p "$TEST_DIR/$1"
	MNT=$TEST_DIR/$1/mnt
	STORE=$TEST_DIR/$1/store
	LOG=$TEST_DIR/$1/log
}

# Reads no more than the kernel's table: it can't block on a daemon that hangs.
mount_is_there() {
	awk -v mnt="$MNT" '$5 == mnt { there = 1 } END { exit !there }' /proc/self/mountinfo
}

process_ended() {
	! kill -0 "$1" 2>/dev/null
}

mount_is_up_or_failed() {
	mount_is_there || process_ended "${mount_pids[$MNT]}"
}

# mount_start [OPTION...]: mount STORE at MNT, with these options of dhtfs.  Its stderr goes on at the
# end of LOG.  0 when the mount answers; else the process is gone and LOG says why.
mount_start() {
	local store=()
	[ "${MOUNT_PROGRAM##*/}" != dhtfs ] || store=(--store "$STORE")
	[ -w /dev/fuse ] || bail_out "/dev/fuse is missing or not writable: mount tests can't run"
	mkdir -p "$MNT"
	"${PREFIX[@]}" "$MOUNT_PROGRAM" -f "${store[@]}" "$@" "$MNT" >>"$LOG" 2>&1 &
	mount_pids[$MNT]=$!
	if wait_until "$MOUNT_BOUND_S" mount_is_up_or_failed && mount_is_there &&
	    timeout "$MOUNT_BOUND_S" "${PREFIX[@]}" stat "$MNT" >/dev/null; then
		return 0
	fi
	mount_kill
	return 1
}

# mount_pid: of the process that serves MNT.
mount_pid() {
	echo "${mount_pids[$MNT]}"
}

# mount_stop: unmount, and wait for the process.  0 when it ended in time, with status 0.
mount_stop() {
	fusermount3 -u "$MNT" || return
	mount_ended
}

# mount_ended: the same for a process that was told to end in another way (SIGTERM, umount).
mount_ended() {
	local pid=${mount_pids[$MNT]} status
	if ! wait_until "$MOUNT_BOUND_S" process_ended "$pid"; then
		diag "process $pid is still there after $MOUNT_BOUND_S s"
		mount_kill
		return 1
	fi
	wait "$pid"
	status=$?
	unset "mount_pids[$MNT]"
	if [ "$status" != 0 ]; then
		diag "process $pid ended with status $status; its log ends:"
		diag "$(tail -n 40 "$LOG")"
		return 1
	fi
}

# mount_abort: SIGKILL, as a crash would.  The mount may stay, but whoever uses it gets errors from here on.
mount_abort() {
	local pid=${mount_pids[$MNT]:-}
	[ -n "$pid" ] || return 0
	unset "mount_pids[$MNT]"
	{
		kill -KILL "$pid"
		wait "$pid"
	} 2>/dev/null
	return 0
}

# mount_kill: the same, and the dead mount is taken away.
mount_kill() {
	mount_abort
	while mount_is_there; do
		fusermount3 -uz "$MNT" 2>/dev/null || umount -l "$MNT" || return
	done
	return 0
}

mount_restart() {
	mount_stop && mount_start "$@"
}

mount_cleanup() {
	local status=$?
	trap '' INT TERM HUP
	[ "$tests_failed" = 0 ] || [ ! -s "$LOG" ] || diag "the log ends:" "$(tail -n 20 "$LOG")"
	for MNT in "${!mount_pids[@]}"; do
		# A leak, or a bad end, would show only now.
		[ "$status" != 0 ] || mount_stop || status=1
		mount_kill >/dev/null
	done
	exit "$status"
}
trap mount_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
