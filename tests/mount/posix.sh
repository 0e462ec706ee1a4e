#!/bin/bash
# The mount behaves as POSIX and the Linux man pages say, and so again from the store.
# posix/ has the tests, which pass on the machine's own filesystem as well: B/tests/mount/posix/posix DIRECTORY.
. "$(dirname "$0")/../lib/mount.sh"
built mount-helpers mount/posix/posix
posix=$B/tests/mount/posix/posix

options=()
[ "$(id -u)" != 0 ] || options=(-o allow_other,suid,dev)
# With a limit of its own, what is free does not depend on what else happens on the disk.
options+=(--size-max 16G)

# posix [WORD...]: its results, as cases() wants them.
posix() {
	"$posix" "$MNT/cases" "$@" 2>&1 |
	    sed -E 's/^ok [0-9]+ - (.*) # SKIP$/skip \1: see above/; s/^ok [0-9]+ - /pass /; s/^not ok [0-9]+ - /fail /; /^1\.\./d; s/^# //'
}

ok 'it mounts' mount_start "${options[@]}"
mkdir "$MNT/cases"
cases posix
is 'nothing stays of them' "$(ls "$MNT/cases")" ''

# What was made is found again by a process that has none of it in memory.
mkdir "$MNT/kept"
cd "$MNT/kept" || bail_out 'no mount'
seq -f 'name%05g' 1 5000 | xargs touch && ln name00001 link && rm name00002
touch f g && mkdir d && ln -s f symlink && mkfifo fifo
setfacl -m u:1:rw,g:2:r f
setfacl -d -m u:3:rx d
setfattr -n user.large -v "0x$(head -c 30000 /dev/zero | tr '\0' '1' | head -c 30000)" f
chmod 1711 g d
touch -d '1969-12-31 23:59:58.123456789 UTC' g
touch -h -d '2100-01-02 03:04:05.678901234 UTC' symlink
touch -a -d '1999-01-02 03:04:05.000000007 UTC' d
all() {
	find . -printf '%P %i %m %n %U %G %A@ %T@ %C@ %l\n' | sort
	getfacl -R f g d
	getfattr -R -d -m - f g d
}
before=$(all)
last=$(find . -printf '%i\n' | sort -n | tail -1)
cd /
ok 'it mounts again, with little memory' mount_restart "${options[@]}" --dirty-max 4M --cache 4M
cd "$MNT/kept" || bail_out 'no mount'
is 'with the same names, numbers, attributes, times, ACLs and xattrs' "$(all)" "$before"
touch new
ok 'and inode numbers go on where they were' [ "$(stat -c %i new)" -gt "$last" ]
is 'the name by-hash is special in the root only' \
    "$(mkdir by-hash && touch by-hash/x && mv by-hash y && mv y by-hash && ls by-hash)" x
cd /
cases posix write read trunc punch copy mapping append seek
ok 'it unmounts' mount_stop
done_testing
