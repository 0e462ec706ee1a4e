#!/bin/bash
# What a user does first: mount, copy in, compare, ask for addresses, read by them, mount again.
. "$(dirname "$0")/../lib/mount.sh"
here=$(cd "$(dirname "$0")" && pwd)

address() { getfattr --absolute-names --only-values -n user.dhtfs.address "$@"; }
b2() { b2sum -l 256 "$@" | cut -d' ' -f1; }
# All that stat and getfattr know of a tree, without the numbers that only this mount gives.
tree() {
	(cd "$1" && find . -type d -printf '%P %y %#m %U %G %n %T@\n' -o \
	    -type l -printf '%P %y %U %G %n %l %T@\n' -o -printf '%P %y %#m %U %G %n %s %T@\n' | sort &&
	    find . -type f -print0 | sort -z | xargs -0 b2sum &&
	    find . \( -type b -o -type c \) -print0 | sort -z | xargs -0 -r stat -c '%n %t %T' &&
	    find . -print0 | sort -z | xargs -0 getfattr -h -d -m - --encoding=hex &&
	    find . -not -type d -links +1 -printf '%i %P\n' | sort -k2 |
	    awk '{ if (!($1 in n)) n[$1] = ++k; $1 = n[$1]; print }')
}

real=/usr/include/linux
work=$TEST_DIR/work
mkdir "$work"
python3 "$here/helpers/synthetic.py" "$work/synthetic"

ok 'it mounts' mount_start
cd "$MNT" || bail_out 'no mount'
ok 'cp -a of a real tree' cp -a "$real" real
ok 'and it is the same' diff -r "$real" real
is 'in all its attributes' "$(tree real)" "$(tree "$real")"
ok 'cp -a of all kinds of files' cp -a "$work/synthetic" synthetic
is 'which are the same in all their attributes' "$(tree synthetic)" "$(tree "$work/synthetic")"

# Addresses.
a=$(address real/fuse.h)
is 'the address of a small file is what b2sum says' "$a" "$(b2 "$real/fuse.h")"
is 'that of the empty file too' "$(address synthetic/empty)" "$(b2 /dev/null)"
ok 'a file can be read by its address' cmp "by-hash/$a" "$real/fuse.h"
ok 'with its length' [ "$(stat -c '%s %F' "by-hash/$a")" = "$(stat -c '%s %F' "$real/fuse.h")" ]
ok 'also in upper case' cmp "by-hash/${a^^}" "$real/fuse.h"
ok 'a large one too' cmp "by-hash/$(address synthetic/large)" "$work/synthetic/large"
ok 'and a sparse one' cmp "by-hash/$(address synthetic/sparse)" "$work/synthetic/sparse"
is 'by-hash/ADDRESS has that address' "$(address "by-hash/$a")" "$a"
none=${a:0:63}$([ "${a:63}" = 0 ] && echo 1 || echo 0)
for name in "${a%?}" "${a}0" "${a%?}g" "${a%?} " "${a:0:3}" x "0x${a:2}" "$none"; do
	fails "there is no by-hash/'$name'" 'No such file' stat "by-hash/$name"
done
ok 'and that is said at once' timeout 1 bash -c "! cat by-hash/$none"
is 'by-hash is in the listing of the root' "$(ls | xargs)" 'by-hash real synthetic'
is 'it lists 256 prefixes' "$(ls by-hash | wc -l; ls by-hash | sed -n '1p;$p')" $'256\n00\nff'
ok 'and below them the addresses' grep -qx "$a" <(ls "by-hash/${a:0:2}")
ok 'which can be read there' cmp "by-hash/${a:0:2}/$a" "$real/fuse.h"
is 'each begins with its prefix' "$(ls "by-hash/${a:0:2}" | cut -c1-2 | sort -u)" "${a:0:2}"
fails 'an address is not below another prefix' 'No such file' \
    stat "by-hash/$([ "${a:0:2}" = 00 ] && echo 01 || echo 00)/$a"

# Directories.
d=$(address real)
ok 'a directory has an address' grep -qxE '[0-9a-f]{64}' <<<"$d"
ok 'and can be read by it' diff -r "by-hash/$d" "$real"
is 'with all that it says of its files' \
    "$(cd "by-hash/$d" && find . -mindepth 1 -printf '%P %y %m %U %G %s %T@\n' | sort)" \
    "$(cd real && find . -mindepth 1 -printf '%P %y %m %U %G %s %T@\n' | sort)"
ok 'ls -l works in it' ls -lR "by-hash/$d/"
is 'and so down to one file' "$(b2 "by-hash/$d/netfilter/xt_CT.h")" "$(b2 "$real/netfilter/xt_CT.h")"
is 'where the address is that of the original' "$(address "by-hash/$d/fuse.h")" "$a"
is 'and the address of a directory in it is that of the directory' \
    "$(address "by-hash/$d/netfilter")" "$(address real/netfilter)"
is '.. leads to where one came from' "$(cd -P "by-hash/$d/netfilter/.." && stat -c %i .)" \
    "$(stat -c %i "by-hash/$d")"
s=$(address synthetic)
ok 'all kinds of files are there by address' cmp "by-hash/$s/dir/one" "$work/synthetic/dir/one"
is 'symlinks too' "$(readlink "by-hash/$s/link")" "$(readlink "$work/synthetic/link")"
is 'xattrs too' "$(getfattr --absolute-names --only-values -n user.text "by-hash/$s/xattrs")" \
    "$(getfattr --absolute-names --only-values -n user.text "$work/synthetic/xattrs")"
if [ "$(id -u)" = 0 ]; then
	is 'set-id bits are masked' "$(stat -c %a "by-hash/$s/setuid")" 755
	fails 'devices are not opened' '' timeout 5 cat "by-hash/$s/null"
fi
is 'by-hash is for who mounted' "$(stat -c '%a %u' by-hash)" "500 $(id -u)"

# Read-only.
target=by-hash/$a
for command in "touch by-hash/new" "mkdir by-hash/new" "rm -f $target" "mv $target x" "mv x $target" \
    "ln -s x by-hash/new" "sh -c 'echo x >$target'" "sh -c 'echo x >by-hash/$d/new'" \
    "chmod 644 $target" "touch $target" "truncate -s 0 $target" "rm -f by-hash/$d/fuse.h" \
    "setfattr -n user.x -v y $target" "mkfifo by-hash/fifo" "rmdir by-hash/00"; do
	echo x >x
	fails "read-only: ${command//[0-9a-f][0-9a-f][0-9a-f]??*[0-9a-f]/...}" 'Read-only file system' \
	    eval "$command"
done
for command in "mkdir by-hash" "rmdir by-hash" "rm -rf by-hash" "mv by-hash x" "mv -T x by-hash" \
    "mv -T real by-hash" "ln -s x -T by-hash" "ln x -T by-hash"; do
	echo x >x
	fails "by-hash stays: $command" '' eval "$command"
done
fails 'and no link leads out of it' 'Invalid cross-device link' ln "$target" x2
ok 'after which it is as before' cmp "$target" "$real/fuse.h"
rm -f x

# What people can ask.
is 'one chunk' "$(getfattr --only-values -n user.dhtfs.chunks real/fuse.h)" 1
ok 'many chunks' [ "$(getfattr --only-values -n user.dhtfs.chunks synthetic/large)" -gt 20 ]
is 'on one node' "$(getfattr --only-values -n user.dhtfs.replicas synthetic/large)" 1/1
is 'none is listed' "$(getfattr -d -m - real/fuse.h real)" ''
fails 'another is not there' 'No such attribute' getfattr -n user.dhtfs.other real/fuse.h
fails 'nor for a fifo' 'No such attribute' getfattr -h -n user.dhtfs.address synthetic/fifo
for name in address chunks replicas other; do
	fails "user.dhtfs.$name can't be set" 'Operation not permitted' \
	    setfattr -n "user.dhtfs.$name" -v x real/fuse.h
	fails "user.dhtfs.$name can't be removed" 'Operation not permitted' \
	    setfattr -x "user.dhtfs.$name" real/fuse.h
done
is 'the address follows a write' "$(cp real/fuse.h f && echo x >>f && address f)" "$(b2 f)"
rm f

# Promise 2: however it was written.
large=$work/synthetic/large
ok 'written in small pieces' dd if="$large" of=small bs=5003 status=none
ok 'in one piece' dd if="$large" of=one bs=64M status=none
ok 'backwards, over other bytes' python3 "$here/helpers/backwards.py" "$large" backwards
ok 'through cat' sh -c "cat '$large' >cat"
ok 'the address is the same' [ "$(address small one backwards cat synthetic/large | fold -w64 |
    sort -u | wc -l)" = 1 ]
ok 'a tree written in another order' sh -c "mkdir other && cd '$work/synthetic' &&
    find . -mindepth 1 -depth -print0 | sort -rz | rsync -aHAX -0 --files-from=- . '$MNT/other/'"
ok 'is the same but for what differs' diff -r --no-dereference -x fifo -x socket -x null -x block \
    synthetic other
rsync -aHAX "$work/synthetic/" other/
touch -r "$work/synthetic" other
is 'and has the same files at the same addresses' \
    "$(cd other && find . -type f -print0 | sort -z | xargs -0 getfattr --only-values -n user.dhtfs.address)" \
    "$(cd synthetic && find . -type f -print0 | sort -z | xargs -0 getfattr --only-values -n user.dhtfs.address)"
rm -r other small one backwards cat

# Again.
d=$(address .)
before=$(tree real && tree synthetic)
times=$(find real synthetic -printf '%p %T@ %C@ %i\n' | sort)
cd / && ok 'it mounts again' mount_restart
cd "$MNT" || bail_out 'no mount'
is 'and everything is there' "$(tree real && tree synthetic)" "$before"
is 'with the same times and numbers' "$(find real synthetic -printf '%p %T@ %C@ %i\n' | sort)" "$times"
is 'and the same addresses' "$(address real/fuse.h)$(address real)$(address .)" \
    "$a$(address "by-hash/$d/real")$d"
ok 'which can be read' diff -r "by-hash/$d/real" "$real"
is 'sparse files stay sparse' "$(stat -c %b synthetic/sparse)" "$(stat -c %b synthetic/sparse)"
ok 'all goes' rm -r real synthetic
is 'and only by-hash is left' "$(ls)" by-hash
ok 'where it can be read still' diff -r "by-hash/$d/real" "$real"
is 'an empty tree has an address' "$(address . | wc -c)" 64

cd / && ok 'it unmounts' mount_stop
ok 'read-only' mount_start -o ro
fails 'nothing can be written' 'Read-only file system' touch "$MNT/x"
ok 'by-hash can be read' cmp "$MNT/by-hash/$a" "$real/fuse.h"
ok 'it unmounts for good' mount_stop
for how in list nolist hidden; do
	ok "by_hash=$how" mount_start -o "by_hash=$how,by_hash_mode=555"
	is "shows in the root" "$(ls "$MNT")" "$([ $how = hidden ] || echo by-hash)"
	is "and inside" "$(ls "$MNT/by-hash" | wc -l)" "$([ $how = list ] && echo 256 || echo 0)"
	ok 'and reads all the same' cmp "$MNT/by-hash/$a" "$real/fuse.h"
	is 'with the mode that was asked for' "$(stat -c %a "$MNT/by-hash")" 555
	mount_stop
done

# What gives a program more than its caller has works where that is wanted, but not by an address: anybody may have put it there.
if [ "$(id -u)" = 0 ]; then
	nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	listed() { "$@" getfattr --absolute-names -m - "by-hash/$r/cat" | sed '/^#/d; /^$/d'; }
	chmod 755 "$TEST_DIR"
	ok 'others are let in' mount_start -o allow_other,suid,by_hash_mode=555
	cd "$MNT" || bail_out 'no mount'
	mkdir rights && cp "$(command -v cat)" rights/cat && echo secret >secret && chmod 600 secret
	# cap_dac_read_search=ep
	setfattr -n security.capability -v 0x0100000204000000000000000000000000000000 rights/cat
	setfattr -n trusted.mine -v x rights/cat
	is 'a program with a capability uses it' "$("${nobody[@]}" rights/cat secret)" secret
	r=$(address rights)
	is 'by an address it is the same' "$("${nobody[@]}" "by-hash/$r/cat" <<<same)" same
	fails 'but can do no more than others' 'Permission denied' "${nobody[@]}" "by-hash/$r/cat" secret
	fails 'the capability is not shown' 'No such attribute' getfattr --absolute-names -n security.capability "by-hash/$r/cat"
	is 'nor listed' "$(listed)" trusted.mine
	is 'and what is for root is listed for root only' "$(listed "${nobody[@]}")" ''
	cd / && ok 'it unmounts' mount_stop
fi
done_testing
