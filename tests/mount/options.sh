# What dhtfs makes of its command line, of bad places to mount, and of signals; in the background, as
# an ordinary user, and from /etc/fstab.
. "$(dirname "$0")/../lib/mount.sh"

DHTFS=$MOUNT_PROGRAM
out=$TEST_DIR/out

# status_is NAME STATUS TEXT COMMAND...: it ends with this status, and TEXT is in what it says.
status_is() {
	local status
	timeout "$MOUNT_BOUND_S" "${@:4}" >"$out" 2>&1
	status=$?
	if [ "$status" = "$2" ] && grep -qF -- "$3" "$out"; then
		tap 0 "$1"
	else
		tap 1 "$1"
		diag "status $status, wanted $2, and '$3' in: $(cat "$out")"
	fi
}

# of_store STORE: the process that has it.
of_store() {
	"$B/dhtctl" --store "$1" --json status | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])'
}

# background_ended PID: what it started in the background is gone, and so is the mount.
background_ended() {
	wait_until "$MOUNT_BOUND_S" process_ended "$1" && ! mount_is_there
}

# The command line.
status_is "help is printed" 0 "usage: dhtfs" "$DHTFS" -h
status_is "the version is printed" 0 "dhtfs " "$DHTFS" --version
status_is "a mount point has to be named" 2 "mount point" "$DHTFS"
status_is "an unknown option is named" 2 "frobnicate" "$DHTFS" --frobnicate "$MNT"
status_is "an unknown mount option is named" 2 "'frobnicate'" "$DHTFS" -o ro,frobnicate "$MNT"
status_is "a size that is none is named" 2 "'lots'" "$DHTFS" --size-max lots "$MNT"
status_is "a third word is one too many" 2 "'c'" "$DHTFS" a b c

# Places.
mkdir -p "$MNT" "$STORE/within" "$TEST_DIR/full/sub"
touch "$TEST_DIR/file"
ln -s "$STORE" "$TEST_DIR/link"
status_is "a missing mount point" 1 "mkdir -p" "$DHTFS" --store "$STORE" "$TEST_DIR/missing"
status_is "a file as mount point" 1 "not a directory" "$DHTFS" --store "$STORE" "$TEST_DIR/file"
status_is "a directory that is not empty" 1 "nonempty" "$DHTFS" --store "$STORE" "$TEST_DIR/full"
status_is "the store itself, by another name" 1 "the store itself" \
    "$DHTFS" --store "$STORE" "$TEST_DIR/link"
status_is "a place within the store" 1 "within the store" \
    "$DHTFS" --store "$STORE" "$TEST_DIR/link/within"
status_is "a place above the store" 1 "would hide it" \
    "$DHTFS" -o nonempty --store "$TEST_DIR/full/sub/store" "$TEST_DIR/full"
rmdir "$STORE/within" "$STORE"
is "none of these has made a store" "$(ls -d "$STORE" "$TEST_DIR/full/sub/store" 2>/dev/null)" ""

# The foreground, and a crash.
ok "it mounts in the foreground" mount_start
ok "the store is private" test "$(stat -c %a "$STORE")" = 700
is "and so is all that is in it" "$(find "$STORE" -type f ! -perm 600)" ""
mkdir "$MNT/kept"
ok "sync" sync -f "$MNT/kept"
ok "a snapshot makes it durable" "$B/dhtctl" --store "$STORE" sync
kill -KILL "$(mount_pid)"
wait_until "$MOUNT_BOUND_S" process_ended "$(mount_pid)"
status_is "a mount whose process is gone" 1 "fusermount3 -u" "$DHTFS" --store "$STORE" "$MNT"
mount_kill

# The background.
ok "it returns once the mount works" "$DHTFS" --store "$STORE" "$MNT"
ok "which it does at once" mount_is_there
ok "what was durable before the crash is there" test -d "$MNT/kept"
pid=$(of_store "$STORE")
is "its working directory is the root" "$(readlink "/proc/$pid/cwd")" /
is "it has let the terminal go" "$(readlink "/proc/$pid/fd/2")" /dev/null
is "it leads a session of its own" "$(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f4)" "$pid"
mkdir "$TEST_DIR/other"
"$DHTFS" --store "$STORE" -f "$TEST_DIR/other" >"$out" 2>&1 &
second=$!
ok "a second process waits, and says for whom" wait_until 10 grep -qw "$pid" "$out"
kill -TERM "$second"
ok "and ends when it is told to" wait_until 10 process_ended "$second"
wait "$second"
is "with status 1" $? 1
if [ -n "${SOAK:-}" ]; then
	status_is "or after half a minute by itself" 1 "$pid" "$DHTFS" --store "$STORE" "$TEST_DIR/other"
fi
ok "it unmounts" fusermount3 -u "$MNT"
ok "mounting again at once waits for the store" "$DHTFS" --store "$STORE" "$MNT"
is "with another process" "$([ "$(of_store "$STORE")" != "$pid" ] && echo another)" another

for signal in TERM INT HUP; do
	pid=$(of_store "$STORE")
	mkdir "$MNT/$signal"
	kill -"$signal" "$pid"
	ok "SIG$signal unmounts it" background_ended "$pid"
	ok "and it mounts again" "$DHTFS" --store "$STORE" "$MNT"
	ok "with what was there" test -d "$MNT/$signal"
done
fusermount3 -u "$MNT"
ok "it ends" background_ended "$(of_store "$STORE" 2>/dev/null || echo 999999999)"

# A session that ends well says so.
ok "it mounts in the foreground again" mount_start
kill -TERM "$(mount_pid)"
ok "and ends with status 0 when it is told to" mount_ended

# Somebody works there: has a file open that is not flushed, and lives there.
ok "it mounts once more" mount_start
(cd "$MNT" && exec 3>open && echo unsaved >&3 && echo >"$TEST_DIR/ready" && exec tail -f /dev/null) &
user=$!
wait_until "$MOUNT_BOUND_S" test -e "$TEST_DIR/ready"
kill -TERM "$(mount_pid)"
ok "it ends well though it is in use" mount_ended
ok "and is not left behind" eval '! mount_is_there'
kill "$user"
wait "$user" 2>/dev/null
mount_start
is "what was written there has been kept" "$(cat "$MNT/open")" unsaved
rm "$MNT/open"
mount_stop

# Mount options.
ok "by-hash is shown" mount_start
is "as a private directory" "$(stat -c %a "$MNT/by-hash")" 500
mount_stop
ok "with by_hash=hidden" mount_start -o by_hash=hidden,by_hash_mode=0555
is "it is not" "$(find "$MNT" -maxdepth 1 -name by-hash)" ""
is "but it is there, with the mode that was asked for" "$(stat -c %a "$MNT/by-hash")" 555
mount_stop
ok "it mounts read-only" mount_start -o ro
fails "nothing can be made there" "Read-only file system" mkdir "$MNT/new"
ok "what is there can be read" test -d "$MNT/kept"
fails "nothing can be put there" "read-only" "$B/dhtctl" --store "$STORE" put "$0"
ok "its status can be asked" "$B/dhtctl" --store "$STORE" status
ok "it ends with status 0" mount_stop
ok "many options, some for mount(8) only" mount_start -o rw,noatime,nodev,nosuid,noexec,async,defaults \
    -o noauto,nofail,_netdev,user,users,x-systemd.automount,relatime,default_permissions,auto \
    -o fsname=a\\,b,subtype=dhtfs --dirty-max 16M --cache 8M --size-max 2G
is "the table of mounts has them" \
    "$(awk -v mnt="$MNT" '$5 == mnt { print $(NF-2), $(NF-1) }' /proc/self/mountinfo)" "fuse.dhtfs a,b"
is "the size is what was asked for" "$(stat -f -c '%b*%S' "$MNT" | bc 2>/dev/null ||
    python3 -c 'import os, sys; s = os.statvfs(sys.argv[1]); print(s.f_blocks * s.f_frsize)' "$MNT")" \
    $((2 << 30))
mount_stop

# Stores.
HOME=$TEST_DIR/home XDG_DATA_HOME='' ok "the default store is made" "$DHTFS" "$MNT"
ok "in the user's data folder" test -S "$TEST_DIR/home/.local/share/dhtfs/control"
is "which is private" "$(stat -c %a "$TEST_DIR/home/.local")" 700
pid=$(of_store "$TEST_DIR/home/.local/share/dhtfs")
fusermount3 -u "$MNT"
ok "it ends" background_ended "$pid"
cp -a "$STORE" "$TEST_DIR/newer"
sed -i 's/[0-9]/9/g' "$TEST_DIR/newer/format"
status_is "a store of another version" 1 "format" "$DHTFS" --store "$TEST_DIR/newer" "$MNT"
status_is "a store that is a file" 1 "irectory" "$DHTFS" --store "$TEST_DIR/file" "$MNT"
long=$TEST_DIR/$(printf 'x%.0s' {1..200})/$(printf 'y%.0s' {1..200})
mkdir -p "$long"
ok "a store with a long path" "$DHTFS" --store "$long/store" "$MNT"
pid=$(of_store "$long/store")
ok "it can be asked" "$B/dhtctl" --store "$long/store" status
fusermount3 -u "$MNT"
ok "and it ends" background_ended "$pid"
is "nothing was mounted or is running by mistake" "$(mount_is_there && echo mounted)" ""

# In a mount namespace of its own root may put another /dev/fuse, or another program, in place.
in_namespace=(unshare --mount --propagation private sh -c)
if [ "$(id -u)" != 0 ] || ! "${in_namespace[@]}" true 2>/dev/null; then
	skip "fstab, a missing device, other users" "needs root and mount namespaces"
	done_testing
fi
options=rw,noauto,nofail,user,_netdev,x-systemd.automount
echo "$STORE $MNT fuse.dhtfs $options 0 0" >"$TEST_DIR/fstab"
status_is "a line of fstab mounts" 0 "$STORE fuse.dhtfs" "${in_namespace[@]}" "
    mount -t tmpfs none /usr/local/bin && ln -s '$DHTFS' /usr/local/bin/dhtfs &&
    mount --fstab '$TEST_DIR/fstab' '$MNT' && findmnt -n -o SOURCE,FSTYPE '$MNT' | tr -s ' ' &&
    test -d '$MNT/kept' && umount '$MNT'"
ok "and its mount ends" wait_until "$MOUNT_BOUND_S" test ! -e "$STORE/control"
remounts() {
	status_is "$1" 0 "remounted" "${in_namespace[@]}" "mount -t tmpfs none /usr/local/bin &&
	    ln -s '$DHTFS' /usr/local/bin/dhtfs && mount -t fuse.dhtfs '$STORE' '$MNT' $2 && cd '$MNT' && $3
	    echo remounted; exec 3<&-; cd / && umount '$MNT'"
	wait_until "$MOUNT_BOUND_S" test ! -e "$STORE/control"
}
remounts "mount -o remount,ro and rw, with a file open to read" "" "
    echo x >f && exec 3<f && mount -o remount,ro '$MNT' && ! touch f 2>/dev/null && ! mkdir d 2>/dev/null && cat <&3 &&
    grep -q '$MNT .* ro,' /proc/self/mounts && mount -o remount,rw '$MNT' && touch f && mkdir d && rmdir d &&"
remounts "remounting read-only is refused while a file is open for writing" "" "
    exec 3>f && ! mount -o remount,ro '$MNT' 2>/dev/null && echo x >&3 &&"
remounts "remounting keeps the other flags" "-o nosuid,noexec" "
    mount -i -t fuse.dhtfs -o remount,nodev,nosuid,noexec '$MNT' && mount -o remount,ro '$MNT' &&
    grep -q '$MNT .* ro,nosuid,nodev,noexec,' /proc/self/mounts &&"
remounts "what was mounted with ro can't be made writable" "-o ro" "
    mount -o remount,rw '$MNT' 2>&1 | grep -q 'mounted with ro' && ! touch f 2>/dev/null &&"
status_is "a missing /dev/fuse" 1 "modprobe fuse" "${in_namespace[@]}" \
    "mount -t tmpfs none /dev && '$DHTFS' --store '$STORE' '$MNT'"

# As an ordinary user, for whom the device has to be open.
chmod 755 "$TEST_DIR"
home=$TEST_DIR/nobody
mkdir -p "$home/mnt"
nobody=$(id -u nobody) group=$(id -g nobody)
chown -R "$nobody:$group" "$home"
user="setpriv --reuid $nobody --regid $group --clear-groups env HOME=$home XDG_DATA_HOME="
open_device="mknod '$TEST_DIR/fuse' c 10 229 2>/dev/null; chmod 666 '$TEST_DIR/fuse' &&
    mount --bind '$TEST_DIR/fuse' /dev/fuse"
if ! "${in_namespace[@]}" "$open_device && $user test -x '$DHTFS'" 2>/dev/null; then
	skip "an ordinary user" "the program or a device can't be reached by one"
	done_testing
fi
status_is "an ordinary user mounts, writes and unmounts" 0 "made by $nobody" "${in_namespace[@]}" "$open_device &&
    cd / && $user '$DHTFS' '$home/mnt' && $user mkdir '$home/mnt/new' &&
    $user stat -c 'made by %u' '$home/mnt/new' &&
    ! ls '$home/mnt' 2>/dev/null &&
    $user '$B/dhtctl' status && $user fusermount3 -u '$home/mnt' &&
    $user '$DHTFS' -o ro '$home/mnt' && $user ls '$home/mnt/new' && $user fusermount3 -u '$home/mnt'"
status_is "who may not let others in is told so" 1 "user_allow_other" "${in_namespace[@]}" "$open_device && cd / &&
    mount --bind /dev/null /etc/fuse.conf && $user '$DHTFS' --store '$home/s2' -o allow_other '$home/mnt'"
status_is "a store of somebody else" 1 "ermission denied" "${in_namespace[@]}" "$open_device && cd / &&
    $user '$DHTFS' --store '$STORE' '$home/mnt'"
status_is "a missing fusermount3" 1 "fusermount3" "${in_namespace[@]}" "$open_device && cd / &&
    mount --bind /dev/null /usr/bin/fusermount3 && $user '$DHTFS' --store '$home/s3' '$home/mnt'"
status_is "a device that is closed" 1 "/dev/fuse" "${in_namespace[@]}" "cd / && $open_device && chmod 600 /dev/fuse &&
    $user '$DHTFS' --store '$home/s4' '$home/mnt'"
done_testing
