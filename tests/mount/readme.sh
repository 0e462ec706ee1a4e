#!/usr/bin/env bash
# Every command of the README's example works as it stands there, in its order.
. "$(dirname "$0")/../lib/mount.sh"

export XDG_DATA_HOME=$TEST_DIR/data
MNT=$TEST_DIR/mnt
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top" || exit 1

# The first sh block, for a mount and a build of the test's own.
awk '/^```sh$/ { in_it = 1; next } /^```$/ { exit } in_it && NF' README.md |
	sed -e "s,/mnt/dht,$MNT,g" -e "s,\bbuild/,$B/,g" -e 's/ *#.*//' >"$TEST_DIR/commands"

wanted() {
	case $1 in
	'b2sum '*) [ "${2%% *}" = "$(getfattr --absolute-names --only-values -n user.dhtfs.address "$MNT/include/stdio.h")" ] ;;
	'cat '*) diff <(echo "$2") "$MNT/include/stdio.h" ;;
	'ls -l '*) grep -q ' stdio.h$' <<<"$2" ;;
	*'/dhtctl status') grep -qi chunks <<<"$2" ;;
	*) ;;
	esac
}

[ "$(wc -l <"$TEST_DIR/commands")" -gt 8 ]
tap $? 'the README has an example'
while read -r -u 3 command; do
	command=${command/#make mount/make --no-print-directory mount}
	[ -z "${SAN:-}" ] || command=${command/#make/make SAN=$SAN}
	output=$(timeout 200 bash -c "$command" 2>"$TEST_DIR/errors")
	status=$?
	[ "$status" = 0 ] && wanted "$command" "$output"
	tap $? "${command//$TEST_DIR/}" || diag "status $status: ${output:0:1000} $(<"$TEST_DIR/errors")"
done 3<"$TEST_DIR/commands"
none_runs() {
	local p
	for p in /proc/[0-9]*; do
		[[ $(readlink "$p/exe") != */dhtfs ]] || ! grep -qa "$TEST_DIR" "$p/cmdline" || return 1
	done 2>/dev/null
}
wait_until 60 none_runs
tap $? 'nothing runs on after the last unmount'
done_testing
