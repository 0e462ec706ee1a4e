#!/bin/bash
# Each checker of the simulator catches the fault that is planted for it (tests/sim/plants.h).
set -u

# caught PLANT CHECKER SEED ARGUMENT...: the checker, and no other one, speaks up; without the plant nobody does.
caught() {
	local plant=$1 checker=$2 seed=$3 out
	shift 3
	out=$("$B/sim" --seed "$seed" --quiet "$@" --plant "$plant")
	case $out in
	*"FAILED: $checker: "*) echo "ok - $checker catches $plant" ;;
	*) echo "not ok - $checker catches $plant: $out" ;;
	esac
}

echo "1..15"
caught lose-chunk loss 3 --faults none
caught false-ack loss 3 --faults none
caught wrong-byte bytes 3 --faults none
caught delete-leased deletion 3 --faults none
caught keep-unleased deletion 5 --nodes 3 --faults none --delete 180000
caught resurrect deletion 5 --nodes 3 --faults none --delete 180000
caught deaf-owner convergence 3 --faults none
caught split-view convergence 3 --faults none
caught waste convergence 3 --faults none
caught head-back heads 3 --faults none
caught two-heads heads 8 --faults none
caught stall-command waiting 3 --faults none
caught greedy memory 3 --faults none
caught nondeterminism determinism 3 --faults none --twice
out=$("$B/sim" --seed 5 --quiet --nodes 3 --faults none --delete 180000)
case $out in
*": ok"*) echo "ok - where nothing is planted, nobody speaks up" ;;
*) echo "not ok - where nothing is planted, nobody speaks up: $out" ;;
esac
