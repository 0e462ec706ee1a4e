#!/bin/bash
# Programs that ask much of a filesystem: git, SQLite, rsync, tar, make.
. "$(dirname "$0")/../lib/mount.sh"
helpers=$(cd "$(dirname "$0")/helpers" && pwd)
transactions=${SOAK:+10000}
transactions=${transactions:-1000}

export HOME=$TEST_DIR GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
# What a make that runs these tests says to its own children is not for the make in the mount.
unset MAKEFLAGS MFLAGS MAKELEVEL SAN
source=$(cd "$(dirname "$0")/../.." && pwd)

ok 'it mounts' mount_start
cd "$MNT" || bail_out 'no mount'

# git, on a source tree.
mkdir repo && cp -a "$source"/{chunker,dht,fs,tests/lib,Makefile} repo/
cp -a /usr/include/linux repo/linux
ok 'git init' git -C repo init -q -b main
ok 'git add' git -C repo add .
ok 'git commit' git -C repo commit -q -m first
ok 'git fsck' git -C repo fsck --full --strict
is 'git status is clean' "$(git -C repo status --porcelain)" ''
ok 'git clone' git clone -q repo clone
ok 'the clone is the same' diff -r -x .git repo clone
ok 'git checkout of another branch' git -C clone checkout -q -b other
rm -r clone/linux && echo changed >>clone/Makefile
ok 'git commit there' git -C clone commit -q -a -m second
ok 'git gc' git -C clone gc -q --prune=now
ok 'git checkout back' git -C clone checkout -q main
ok 'brings all back' diff -r -x .git repo clone
ok 'git fsck of the clone' git -C clone fsck --full --strict

# SQLite, in both of its journal modes.
database() {
	echo "pragma journal_mode=$1; pragma synchronous=normal;
	    create table t(id integer primary key, v text, n int); create index i on t(n);"
	for ((i = 0; i < $2; i++)); do
		echo "begin; insert into t(v, n) values(hex(randomblob(50)), $((i * 7919 % 1000)));
		    update t set n = n + 1 where id = $((i / 2)); commit;"
	done
}
for mode in delete wal; do
	database "$mode" "$transactions" >"$TEST_DIR/sql"
	ok "sqlite3: $transactions transactions with journal_mode=$mode" \
	    sh -c "sqlite3 $mode.db <'$TEST_DIR/sql'"
	is 'PRAGMA integrity_check' "$(sqlite3 $mode.db 'pragma integrity_check')" ok
	is 'all rows are there' "$(sqlite3 $mode.db 'select count(*) from t')" "$transactions"
done

# rsync and tar.
python3 "$helpers/synthetic.py" "$TEST_DIR/synthetic"
ok 'rsync -aHAX' rsync -aHAX --checksum "$TEST_DIR/synthetic" /usr/include/linux rsync/
is 'a second time nothing changes' \
    "$(rsync -aHAX --checksum -i "$TEST_DIR/synthetic" /usr/include/linux rsync/)" ''
is 'nor from the mount out' \
    "$(rsync -aHAX --checksum -n -i rsync/synthetic rsync/linux "$TEST_DIR/out/" | grep -v ++++ |
    grep -v '^created directory')" ''
tarred() {
	tar --sort=name --numeric-owner --xattrs --acls --pax-option=delete=atime,delete=ctime \
	    -C "$1" -cf - . | b2sum
}
is 'tar reads the same from it' "$(tarred rsync/linux)" "$(tarred /usr/include/linux)"
ok 'tar into it' sh -c "mkdir untarred && tar -C '$TEST_DIR/synthetic' --xattrs -cf - . |
    tar -C untarred --xattrs --xattrs-include='*' -xpf -"
is 'rsync finds no difference but the socket, which tar leaves out' \
    "$(rsync -aHX --checksum -n -i "$TEST_DIR/synthetic/" untarred/)" 'cS+++++++++ socket'
ok 'cp --reflink within it' cp -a --reflink=auto rsync/linux linux
ok 'is the same' diff -r linux /usr/include/linux

# A build.
mkdir build && cp -a "$source"/{Makefile,chunker} build/
ok 'make -j2 of a C project' make -C build -j2 build/libchunker.a
is 'a second time it has nothing to do' "$(make -C build -j2 build/libchunker.a 2>&1 |
    grep -c 'up to date')" 1
ok 'the archive is whole' sh -c 'ar t build/build/libchunker.a | grep -qx cut.o'
touch build/chunker/cut.h
ok 'what depends on a changed header is built again' sh -c \
    '! make -C build -q build/libchunker.a && make -C build build/libchunker.a'
printf '#!/bin/sh\necho run\n' >script && chmod 755 script
is 'a script in it runs' "$(./script)" run
cp /bin/true program
ok 'a program in it runs' ./program

cd / && ok 'it mounts again' mount_restart
cd "$MNT" || bail_out 'no mount'
ok 'git fsck' git -C repo fsck --full --strict
is 'and git status is clean' "$(git -C repo status --porcelain; git -C clone status --porcelain)" ''
for mode in delete wal; do
	is 'PRAGMA integrity_check' "$(sqlite3 $mode.db 'pragma integrity_check')" ok
done
is 'rsync changes nothing' \
    "$(rsync -aHAX --checksum -i "$TEST_DIR/synthetic" /usr/include/linux rsync/)" ''
is 'make has nothing to do' "$(make -C build build/libchunker.a 2>&1 | grep -c 'up to date')" 1
cd / && ok 'it unmounts' mount_stop
done_testing
