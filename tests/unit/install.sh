# make install: the programs and their manuals, below DESTDIR and PREFIX and nowhere else.
. "$(dirname "$0")/../lib/mount.sh"
root=$TEST_DIR/root

# Whatever started this make has flags of its own.  It builds nothing: what it would build into B had no sanitizer.
install_to_root() {
	env -u MAKEFLAGS -u MAKELEVEL make -o all B="$B" install DESTDIR="$root" PREFIX=/opt/dht
}

# named_by PROGRAM: every option and command in its help, one a line.
named_by() {
	"$B/$1" --help | grep -oE -- '--[a-z-]+|^  [a-z]+' | tr -d ' ' | sed 's/^--//' | sort -u
}

# not_in_manual PROGRAM: those that its manual doesn't know.
not_in_manual() {
	local name
	for name in $(named_by "$1"); do
		grep -qE "\\b$name\\b" "tools/man/$1.1" || echo "$name"
	done
}

ok "make install" install_to_root
is "puts all where it was told to" \
    "$(cd "$root" && find . -type f -printf '%P %m\n' | sort | xargs)" \
    "$(cd / && printf 'opt/dht/%s\n' bin/dhtctl\ 755 bin/dhtd\ 755 bin/dhtfs\ 755 lib/systemd/system/dhtd.service\ 644 \
	share/doc/dhtfs/dhtfs.mount.example\ 644 share/man/man1/dhtctl.1\ 644 share/man/man1/dhtd.1\ 644 \
	share/man/man1/dhtfs.1\ 644 share/man/man5/dhtfs.conf.5\ 644 | xargs)"
if type -P groff >/dev/null; then
	is "the manual of settings is well-formed" \
	    "$(groff -mdoc -Tutf8 -ww tools/man/dhtfs.conf.5 2>&1 >/dev/null)" ""
fi
for program in dhtfs dhtd dhtctl; do
	is "the manual of $program has all that its help has" "$(not_in_manual "$program")" ""
	if type -P groff >/dev/null; then
		is "and is well-formed" "$(groff -mdoc -Tutf8 -ww "tools/man/$program.1" 2>&1 >/dev/null)" ""
	fi
done
done_testing
