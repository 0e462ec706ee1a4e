#!/bin/bash
# Attributes, times, ACLs and extended attributes; and so again from the store.
. "$(dirname "$0")/../lib/mount.sh"

options=()
[ "$(id -u)" != 0 ] || options=(-o allow_other,suid)
ok 'it mounts' mount_start "${options[@]}"
mkdir "$MNT/cases" "$MNT/kept"
cases python3 "$(dirname "$0")/helpers/attrs.py" "$MNT/cases"

cd "$MNT/kept" || bail_out 'no mount'
touch f g && mkdir d && ln -s f link
setfacl -m u:1:rw,g:2:r f
setfacl -d -m u:3:rx d
setfattr -n user.large -v "0x$(head -c 30000 /dev/zero | tr '\0' '1' | head -c 30000)" f
chmod 1711 g d
touch -d '1969-12-31 23:59:58.123456789 UTC' g
touch -h -d '2100-01-02 03:04:05.678901234 UTC' link
touch -a -d '1999-01-02 03:04:05.000000007 UTC' d
all() { find . -printf '%p %m %U %G %A@ %T@ %C@\n' | sort; getfacl -R .; getfattr -R -d -m - .; }
before=$(all)
cd / && ok 'it mounts again' mount_restart "${options[@]}"
cd "$MNT/kept" || bail_out 'no mount'
is 'with the same attributes, times, ACLs and xattrs' "$(all)" "$before"
cd / && ok 'it unmounts' mount_stop
done_testing
