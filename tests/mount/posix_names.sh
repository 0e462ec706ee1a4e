#!/bin/bash
# Names, directories and inodes behave as POSIX says; and so again from the store.
. "$(dirname "$0")/../lib/mount.sh"

options=()
[ "$(id -u)" != 0 ] || options=(-o allow_other)
ok 'it mounts' mount_start "${options[@]}"
mkdir "$MNT/cases"
cases python3 "$(dirname "$0")/helpers/names.py" "$MNT/cases"

# What was made is found again by a process that has none of it in memory.
mkdir "$MNT/kept"
(cd "$MNT/kept" && seq -f 'name%05g' 1 5000 | xargs touch && ln name00001 link && rm name00002)
listed=$(cd "$MNT/kept" && find . -printf '%P %i %m %n %T@ %C@\n' | sort)
ok 'it mounts again' mount_restart "${options[@]}"
is 'with the same names, numbers and times' \
    "$(cd "$MNT/kept" && find . -printf '%P %i %m %n %T@ %C@\n' | sort)" "$listed"
touch "$MNT/kept/new"
ok 'and inode numbers go on where they were' [ "$(stat -c %i "$MNT/kept/new")" -gt \
    "$(cut -d' ' -f2 <<<"$listed" | sort -n | tail -1)" ]

ok 'it unmounts' mount_stop
done_testing
