#!/bin/bash
# Random operations by several processes and threads, held against a model, with remounts and kill -9 in
# between: in some seconds, or for EXERCISE_S (an hour) with SOAK=1.  SEED replays the first plan of each part.
. "$(dirname "$0")/../lib/mount.sh"
built mount-helpers mount/exercise/exercise
exercise=$B/tests/mount/exercise/exercise
seconds=${SOAK:+${EXERCISE_S:-3600}}
seconds=${seconds:-27}

# Each part has a mount of its own, options of it, and a share of the time.
parts=(
	'default:'
	'little-memory:--dirty-max 4M --cache 4M'
	'small-cache:--cache 4M'
)
each=$(((seconds + ${#parts[@]} - 1) / ${#parts[@]}))

# What the exerciser asks for.  A kill leaves a dead mount, until all who work there have noticed.
control() {
	case $1 in
	remount) mount_restart "${options[@]}" ;;
	kill) mount_abort ;;
	start) mount_kill && mount_start "${options[@]}" ;;
	*) false ;;
	esac
}

# exercised OPTION...: run it, and do what it asks for.
exercised() {
	local line word pid from to
	coproc runner { "$exercise" --control "$@" "$MNT" 2>&1; }
	pid=$runner_PID
	exec {from}<&"${runner[0]}" {to}>&"${runner[1]}"
	while IFS= read -r line <&"$from"; do
		word=${line#control }
		if [ "$word" = "$line" ]; then
			echo "$line"
		elif control "$word" >&2; then
			echo ok >&"$to"
		else
			echo failed >&"$to"
		fi
	done
	exec {from}<&- {to}>&-
	wait "$pid"
}

for part in "${parts[@]}"; do
	mount_use "${part%%:*}"
	read -ra options <<<"${part#*:}"
	ok "${part%%:*}: it mounts" mount_start "${options[@]}" || bail_out 'no mount'
	ok "${part%%:*}: every operation does what the model says" \
		exercised --seconds "$each" --shrink "${SHRINK_S:-60}"
	diag "$(<"$TEST_DIR/.output")"
	is "${part%%:*}: nothing is left" "$(ls -I by-hash "$MNT")" ''
	ok "${part%%:*}: the store has no bad chunk" "$B/dhtctl" --store "$STORE" check
	ok "${part%%:*}: it unmounts" mount_stop
done
done_testing
