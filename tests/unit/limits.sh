# Every limit of dht/net/limits.h has its test: at least one unit test names it.
dir=$(dirname "$0")
limits=$dir/../../dht/net/limits.h

# untested: the limits that no unit test names, one a line.
untested() {
	local name
	for name in $(sed -nE 's/^#define ([A-Z][A-Z_]+)[[:space:]].*/\1/p' "$limits"); do
		case $name in
		MS) continue ;;
		esac
		grep -qw -- "$name" "$dir"/*.[ch] || echo "$name"
	done
}

echo 1..1
missing=$(untested | xargs)
[ -z "$missing" ] || echo "# no test names: $missing"
[ -n "$(sed -n '/^#define MEMBERS_MAX/p' "$limits")" ] && [ -z "$missing" ] || printf 'not '
echo 'ok 1 - every limit is named by a unit test'
[ -z "$missing" ]
