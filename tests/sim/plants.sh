#!/bin/bash
# Each checker of the simulator catches the fault that is planted for it (tests/sim/plants.h).
set -u

# caught PLANT CHECKER ARGUMENT...: in one of a few seeds the checker speaks up, and in none another one does.
caught() {
	local plant=$1 checker=$2 seed out
	shift 2
	for seed in 3 4 7 8 11; do
		out=$("$B/sim" --seed "$seed" --quiet "$@" --plant "$plant" --faults none)
		case $out in
		*"FAILED: $checker: "*)
			echo "ok - $checker catches $plant"
			return
			;;
		*": ok"*) ;;
		*) break ;;
		esac
	done
	echo "not ok - $checker catches $plant: $out"
}

echo "1..29"
caught lose-chunk loss
caught false-ack loss
caught wrong-byte bytes
caught delete-leased deletion
caught keep-unleased deletion --nodes 3 --delete 180000
caught resurrect deletion --nodes 3 --delete 180000
caught deaf-owner convergence
caught split-view convergence
caught waste convergence
caught head-back heads
caught two-heads heads
caught stall-command waiting
caught greedy memory
caught nondeterminism determinism --twice
caught lose-one-more loss
caught false-proof loss
caught delete-young deletion
caught forget-leases convergence
caught resurrect-one deletion --nodes 3 --delete 180000
caught overwrite heads
caught false-miss bytes
caught wrong-owner convergence
caught go-on heads
caught small-ring loss --parts insert,lease
caught slow-disk waiting
caught twice convergence --chunks 300 --load 300
caught same-store heads
caught forgery convergence --parts none
out=$("$B/sim" --seed 5 --quiet --nodes 3 --faults none --delete 180000)
case $out in
*": ok"*) echo "ok - where nothing is planted, nobody speaks up" ;;
*) echo "not ok - where nothing is planted, nobody speaks up: $out" ;;
esac
