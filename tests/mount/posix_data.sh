#!/bin/bash
# What is written to files comes back, case by case; exercise.sh does the same by random operations.
. "$(dirname "$0")/../lib/mount.sh"
helpers=$(dirname "$0")/helpers

export STORE
# With a limit of its own, what is free does not depend on what else happens on the disk.
ok 'it mounts' mount_start --size-max 8G
mkdir "$MNT/cases"
cases python3 "$helpers/data.py" "$MNT/cases"
is 'nothing stays of them' "$(ls "$MNT/cases")" ''
ok 'it unmounts' mount_stop
done_testing
