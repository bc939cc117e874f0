#!/bin/sh
# Holds hack/layers.txt: every crate is in it, and uses no crate of this workspace but those the table allows.
# Brains must not depend on anything that can do I/O either.
set -eu
cd "$(dirname "$0")/.."

failed=0
complain() {
	echo "layers: $1" >&2
	failed=1
}

for manifest in crates/*/Cargo.toml e2e/Cargo.toml; do
	crate=$(basename "$(dirname "$manifest")")
	allowed=$(sed -n "s/^$crate:\(.*\)/\1/p" hack/layers.txt)
	grep -q "^$crate:" hack/layers.txt || complain "$crate is not in hack/layers.txt"
	# The names in [dependencies]; tests may use more.
	used=$(awk '/^\[/ { on = ($0 == "[dependencies]") } on && /^[a-z]/ { sub(/[ .=].*/, ""); print }' "$manifest")
	for name in $used; do
		if [ -d "crates/$name" ]; then
			case " $allowed " in
			*" $name "* | *" * "*) ;;
			*) complain "$crate must not use $name" ;;
			esac
		fi
		case $crate in
		api-types | api-rules | controllers | scheduling | pod-lifecycle | service-rules)
			case $name in
			tokio* | hyper* | kube* | etcd-client | tonic | rand | reqwest | nix | libc)
				complain "$crate is pure and must not use $name" ;;
			esac
			;;
		esac
	done
done
exit $failed
