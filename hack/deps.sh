#!/bin/sh
# Installs the Debian packages that Kogge uses, by name; done in milliseconds when all are there.
#
#   hack/deps.sh          what building, the images and `kctl cluster up` need
#   hack/deps.sh test     and what the tests and benchmarks need
#
# Several of these packages start a service when they are installed, etcd on the very port that a cluster uses.
# Nothing may be started behind the user's back: policy-rc.d denies it during the installation and is put back as it
# was, and the services that came with this installation stay off at the next boot.
set -eu

packages="make gcc libc6-dev mold protobuf-compiler libprotobuf-dev
	etcd-server containerd runc nftables conntrack iproute2 busybox nginx-light ca-certificates curl"
case "${1:-}" in
"") ;;
test)
	packages="$packages etcd-client docker-registry prometheus python3 python3-venv procps"
	# Any kubectl will do for most tests; Debian's is old, and one that is there already is left alone.
	command -v kubectl >/dev/null || packages="$packages kubernetes-client"
	;;
*)
	echo "usage: $0 [test]" >&2
	exit 2
	;;
esac

missing=""
for package in $packages; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps.sh: must be root to install:$missing" >&2
	exit 1
fi

policy=/usr/sbin/policy-rc.d
saved=""
restore() {
	rm -f "$policy"
	[ -z "$saved" ] || mv "$saved" "$policy"
}
if [ -e "$policy" ]; then
	saved="$policy.before-kogge"
	mv "$policy" "$saved"
fi
trap restore EXIT
trap 'exit 1' HUP INT TERM
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # a list of words
install="apt-get install -y -q --no-install-recommends $missing"
$install || { apt-get update -q && $install; }

if command -v systemctl >/dev/null; then
	for package in $missing; do
		case $package in
		etcd-server) units=etcd ;;
		nginx-light) units=nginx ;;
		prometheus) units="prometheus prometheus-node-exporter" ;;
		containerd | docker-registry) units=$package ;;
		*) continue ;;
		esac
		for unit in $units; do
			systemctl disable --quiet "$unit" 2>/dev/null || true
		done
	done
fi
