#!/bin/sh
# Runs the demo on the cluster that `kctl cluster up` made, and shows the answer of its Service.
#
#   hack/demo.sh [KCTL]
set -eu
cd "$(dirname "$0")/.."
kctl=${1:-target/release/kctl}

"$kctl" apply -f deploy/demo/hello.yaml
"$kctl" rollout status deployment/hello --timeout=120s
address=$("$kctl" get service hello -o 'jsonpath={.spec.clusterIP}')
node_port=$("$kctl" get service hello -o 'jsonpath={.spec.ports[0].nodePort}')

echo
echo "The Service hello answers at http://$address (and on port $node_port of every node):"
# The rules of a new Service reach the kernel a moment after its pods are ready.
for _ in 1 2 3; do
	curl --silent --show-error --fail --retry 20 --retry-delay 1 --retry-connrefused --max-time 5 "http://$address/"
done

cat <<END

Type next:
  $kctl get pods -o wide
  $kctl scale deployment/hello --replicas=5
  $kctl logs deployment/hello
  $kctl cluster status
  make down
END
