#!/bin/bash
# The same seed gives the same trace: twice, and in a build without optimisation.
set -u
seeds=${SOAK:+1-200}
seeds=${seeds:-1-10}
debug=${B_DEBUG:-$(dirname "$B")/build-debug}

echo "1..2"
first=$("$B/sim" --seeds "$seeds" | sed 's/, [0-9.]* s$//')
second=$("$B/sim" --seeds "$seeds" | sed 's/, [0-9.]* s$//')
if [ -n "$first" ] && [ "$first" = "$second" ]; then
	echo "ok - the same seed gives the same trace twice"
else
	echo "not ok - the same seed gives the same trace twice"
	diff <(echo "$first") <(echo "$second") | sed 's/^/# /'
fi
if [ ! -x "$debug/sim" ]; then
	echo "ok - the same seed gives the same trace with -O0 # SKIP no $debug/sim"
	exit
fi
second=$("$debug/sim" --seeds "$seeds" | sed 's/, [0-9.]* s$//')
if [ "$first" = "$second" ]; then
	echo "ok - the same seed gives the same trace with -O0"
else
	echo "not ok - the same seed gives the same trace with -O0"
	diff <(echo "$first") <(echo "$second") | sed 's/^/# /'
fi
