#!/bin/bash
# The simulator over many seeds, a test each: 200; with SOAK=1 10,000; 40 under a sanitizer, which is ten times slower.
# FROM and COUNT choose others.
# What fails: SEED=n make sim shows all that happens in it.
set -u
from=${FROM:-1} count=${COUNT:-${SOAK:+10000}}
case $B in
*/build-*) count=${count:-40} ;;
*) count=${count:-200} ;;
esac
block=5		# seeds a process

# block FIRST: its seeds, a TAP line each, whatever becomes of the program.
block() {
	local last=$(($1 + block - 1)) line seed
	[ "$last" -lt "$end" ] || last=$((end - 1))
	"$B/sim" --seeds "$1-$last" >"$TEST_DIR/seeds-$1" 2>&1
	status=$?
	for ((seed = $1; seed <= last; seed++)); do
		line=$(grep "^seed $seed[:,]" "$TEST_DIR/seeds-$1")
		case $line in
		"seed $seed: ok"*) echo "ok - seed $seed" ;;
		"") echo "not ok - seed $seed: not judged; the program ended with $status: $(tail -n 1 "$TEST_DIR/seeds-$1")" ;;
		*) echo "not ok - $line" ;;
		esac
	done
	rm "$TEST_DIR/seeds-$1"
}

end=$((from + count))
export block end TEST_DIR B
export -f block
echo "1..$count"
seq "$from" "$block" $((end - 1)) | xargs -P "$(nproc)" -I{} bash -c 'block {}'
