#!/bin/bash
# Nothing listens on any network unless --listen was given.
. "$(dirname "$0")/../lib/mount.sh"

# sockets PID: what each socket of the process is, one a line; `unix' is the only one of this machine
# alone.
sockets() {
	python3 - "$1" <<'PYTHON'
import os, sys
proc = f"/proc/{sys.argv[1]}"
inode_columns = {"unix": 6, "packet": 8, "netlink": 9}
table = {}
for name in ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6",
             "packet", "netlink", "unix"):
    try:
        with open(f"{proc}/net/{name}") as file:
            lines = file.readlines()[1:]
    except FileNotFoundError:
        continue
    for line in lines:
        table[line.split()[inode_columns.get(name, 9)]] = name
for fd in os.listdir(f"{proc}/fd"):
    try:
        target = os.readlink(f"{proc}/fd/{fd}")
    except FileNotFoundError:
        continue
    if target.startswith("socket:["):
        print(table.get(target[8:-1], "unknown"))
PYTHON
}

# It would be seen.
coproc LISTENER { exec python3 -c '
import socket, sys
kept = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
kept[1].bind(("127.0.0.1", 0))
print("listening", flush=True)
sys.stdin.read()'; }
listener=$LISTENER_PID
read -r _ <&"${LISTENER[0]}"
is 'a process that listens is found out' "$(sockets "$listener" | sort | xargs)" 'tcp udp'
kill "$listener"

ok 'dhtfs mounts' mount_start
dd if=/dev/urandom of="$MNT/file" bs=1M count=8 status=none
"$B/dhtctl" --store "$STORE" status >"$TEST_DIR/status"
is 'its only sockets are of this machine' "$(sockets "$(mount_pid)" | sort -u)" 'unix'
is 'and nobody else can ask it' "$(stat -c %a "$STORE/control")" 600
ok 'it unmounts' mount_stop
is 'and takes its socket away' "$(ls "$STORE" | grep -c control)" 0
done_testing
