#!/bin/bash
# What runs the tests is tested: each thing that it must catch is planted, in a project of its own.
. "$(dirname "$0")/../lib/mount.sh"
plan 14

mkdir -p "$TEST_DIR"/{tests/unit,tests/mount,build}
cp -r tests/run tests/lib "$TEST_DIR/tests/"
cd "$TEST_DIR" || bail_out 'no directory'

# harness SCRIPT: its report when that is the only test; the status is the last word of it.
harness() {
	printf '%s\n' "$1" >tests/unit/planted.sh
	B=build LIMIT_S=2 TMPDIR=$TEST_DIR V='' SOAK='' tests/run unit mount >report 2>&1
	echo "status $?" >>report
}
ends() { is "$1" "$(tail -n 2 report | xargs)" "$2" || diag "$(<report)"; }

harness 'echo 1..2; echo ok 1; echo ok 2'
ends 'passes are counted' '2 passed, 0 failed status 0'
harness 'echo 1..2; echo ok 1; echo not ok 2; exit 1'
ends 'a failure counts' '1 passed, 1 failed status 1'
ok 'and what the test wrote is shown' grep -q 'it wrote' report
harness 'echo 1..2; echo ok 1; echo "not ok 2 # SKIP name"'
ends "cmocka's way to skip is no failure" '1 passed, 0 failed status 0'
harness 'echo 1..3; echo ok 1'
ends 'tests that never ran have failed' '1 passed, 2 failed status 1'
harness 'echo 1..1; echo ok 1; exit 99'
ends 'a bad status counts though all passed' '1 passed, 1 failed status 1'
harness 'exit 0'
ends 'to say nothing is to fail' '0 passed, 1 failed status 1'
harness 'echo 1..1; sleep 1000 & wait'
ends 'a program that hangs is stopped' '0 passed, 1 failed status 1'
# shellcheck disable=SC2016
harness 'echo 1..1; echo ok 1; setsid -f sleep 1000 >/dev/null 2>&1; echo "$TEST_DIR" >dir'
ends 'a process left behind counts' '1 passed, 1 failed status 1'
ok 'and is gone' bash -c '! grep -qsz "^TEST_DIR=$(<dir)" /proc/[0-9]*/environ'
# shellcheck disable=SC2016
harness 'echo 1..1; echo ok 1; path=${TSAN_OPTIONS##*log_path=}; (echo WARNING: a race >"${path%%:*}.1") 2>/dev/null'
ends "a sanitizer's report counts, of a process that nobody looks at" '1 passed, 1 failed status 1'
ok 'and is shown' grep -q 'a race' report
rm tests/unit/planted.sh
B=build tests/run unit mount >report 2>&1
echo "status $?" >>report
ends 'to run nothing is to fail' '0 passed, 0 failed status 1'
is 'no directory is left' "$(ls -d dhtfs-test.* 2>/dev/null)" ''
done_testing
