#!/bin/bash
# An ordinary user's mount beside root's, in one ring on one machine.

# For an ordinary user the device has to be open: in a mount namespace of this test's own it is.
if [ "$(id -u)" = 0 ] && [ -z "${DEVICE_IS_OPEN:-}" ]; then
	export DEVICE_IS_OPEN=1
	open="mknod '$TEST_DIR/fuse' c 10 229; chmod 666 '$TEST_DIR/fuse'; mount --bind '$TEST_DIR/fuse' /dev/fuse"
	exec unshare --mount bash -c "{ $open; } 2>/dev/null; exec bash '$0'"
fi
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || { skip "an ordinary user's mount" 'only root can become another'; done_testing; }
PREFIX_OF[3]="setpriv --reuid=$(id -u nobody) --regid=$(id -g nobody) --clear-groups env HOME=$TEST_DIR/3"
as_user() { ${PREFIX_OF[3]} "$@"; }
if ! as_user test -x "$B/dhtfs" || ! as_user test -w /dev/fuse; then
	skip "an ordinary user's mount" 'the program or a device can not be reached by one'
	done_testing
fi
ok 'a ring is made' ring_create --acks 1
ok 'a node starts' node_start 1 dhtd
ok "root's mount joins" node_start 2 dhtfs
mkdir -p "$TEST_DIR/3/mnt"
cp "$RING" "$TEST_DIR/3/lab.ring"
RING=$TEST_DIR/3/lab.ring
chown -R "$(id -u nobody):$(id -g nobody)" "$TEST_DIR/3"
chmod 755 "$TEST_DIR"
ok "an ordinary user's mount joins" node_start 3 dhtfs
ok 'all have one view' views 3 0 1 2 3
ok 'the user writes' as_user sh -c "echo mine >'$TEST_DIR/3/mnt/mine' && sync '$TEST_DIR/3/mnt/mine'"
ok 'root, too' sh -c "echo roots >'$TEST_DIR/2/mnt/roots' && sync '$TEST_DIR/2/mnt/roots'"
fails 'root does not see into the mount of the user' 'Permission denied' ls "$TEST_DIR/3/mnt"
fails "nor the user into root's" 'Permission denied' as_user ls "$TEST_DIR/2/mnt"
address=$(as_user getfattr --absolute-names --only-values -n user.dhtfs.address "$TEST_DIR/3/mnt/mine")
is 'but by its address each reads what the other has' "$(cat "$TEST_DIR/2/mnt/by-hash/$address")" mine
address=$(xattr "$TEST_DIR/2/mnt/roots" address)
is 'in both ways' "$(as_user cat "$TEST_DIR/3/mnt/by-hash/$address")" roots
fails "the user can't command root's" 'denied' as_user "$B/dhtctl" --store "$TEST_DIR/2/store" drain
ok 'the user unmounts' as_user fusermount3 -u "$TEST_DIR/3/mnt"
node 3
ok 'and it ends' mount_ended
ok "root's goes on" cat "$TEST_DIR/2/mnt/roots"
done_testing
