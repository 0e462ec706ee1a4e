#!/bin/bash
# nullfs is what dhtfs is measured against: it must do the same work.
MOUNT_PROGRAM=${NULLFS:-$B/nullfs}
. "$(dirname "$0")/../lib/mount.sh"
plan 24

ok 'nullfs mounts' mount_start
cd "$MNT" || bail_out 'no mount'

names() { find "$1" -printf '%P %y %m %U %l\n' | sort; }
sizes() { find "$1" -type f -printf '%P %s\n' | sort; }

# The real files vary from machine to machine; what is asked of their copy does not.
ok 'cp -a of a tree' cp -a /usr/include/linux tree
is 'every name, type, mode and owner is there' "$(names tree)" "$(names /usr/include/linux)"
is 'and every size' "$(sizes tree)" "$(sizes /usr/include/linux)"
ok 'files hold the pattern, the same each time' cmp tree/fuse.h tree/fuse.h
ok 'rm -r takes a tree away' rm -r tree
is 'all of it' "$(ls -A)" ''

many() { seq -f 'name%06g' 1 "$1"; }
mkdir many && ok 'many names in one directory' bash -c 'cd many && seq -f "name%06g" 1 5000 | xargs touch'
is 'are all listed once' "$(ls many)" "$(many 5000)"
ok 'half of them go' bash -c 'cd many && rm name??[0-9][0-9][0-9][13579]'
is 'and the others stay' "$(find many -type f | wc -l)" 2500
is 'a directory counts the directories in it' "$(mkdir many/a many/b; stat -c %h many)" 4
fails 'a full directory stays' 'not empty' rmdir many

echo x >one && ln one two
is 'a hard link counts' "$(stat -c %h one two | xargs)" '2 2'
ok 'a name is replaced by rename' bash -c 'echo yy >three && mv three two'
is 'and the other loses a link' "$(stat -c %h:%s one two | xargs)" '1:2 1:3'
ok 'two names are exchanged' python3 -c '
import ctypes
assert ctypes.CDLL(None, use_errno=True).renameat2(-100, b"one", -100, b"two", 2) == 0'
is 'with what they named' "$(stat -c %s one two | xargs)" '3 2'
ok 'an unlinked file can still be read' bash -c 'exec 3<one && rm one && wc -c <&3 | grep -qx 3'

ok 'xattrs are kept' setfattr -n user.key -v value two
is 'and given back' "$(getfattr --only-values -n user.key two)" value
ok 'and taken away' setfattr -x user.key two
fails 'for good' 'No such attribute' getfattr -n user.key two

cd / || exit
ok 'nullfs unmounts and ends well' mount_stop
done_testing
