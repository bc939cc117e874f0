#!/bin/bash
# Makes the OCI archives that a cluster starts from into out/images: no registry needed, same input, same bytes.
#
#   hack/images.sh [NAME…]     pause busybox hello hello-v2 nginx dns; all without arguments
#
# PROFILE (release) is the cargo profile of our own programs. busybox and nginx are Debian's, as installed here.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${PROFILE:-release}
target=${CARGO_TARGET_DIR:-target}
bin=$target/$([ "$profile" = dev ] && echo debug || echo "$profile")
out=$PWD/out/images
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# fresh ROOT — an empty root file system with what every program expects
fresh() {
    mkdir -p "$1"/{etc,root,var,run,usr/bin,usr/sbin,usr/lib} "$1/tmp"
    chmod 1777 "$1/tmp"
    ln -s usr/bin "$1/bin"
    ln -s usr/sbin "$1/sbin"
    ln -s usr/lib "$1/lib"
    ln -s usr/lib64 "$1/lib64"
    printf '%s\n' root:x:0:0:root:/root:/bin/sh www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin \
        nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin >"$1/etc/passwd"
    printf '%s\n' root:x:0: www-data:x:33: nogroup:x:65534: >"$1/etc/group"
    echo 'hosts: files dns' >"$1/etc/nsswitch.conf"
}

# program ROOT FILE DEST — a program with the shared libraries it is linked to
program() {
    install -D -m 755 "$2" "$1/$3"
    local library
    for library in $(ldd "$2" 2>/dev/null | grep -o '/[^ ]*'); do
        # Debian's /lib is a link into /usr.
        mkdir -p "$1/usr$(dirname "${library#/usr}")"
        cp -L "$library" "$1/usr${library#/usr}"
    done
}

# blob FILE — files it under its digest, prints "DIGEST SIZE"
blob() {
    local digest
    digest=$(sha256sum "$1" | cut -d' ' -f1)
    mv "$1" "$layout/blobs/sha256/$digest"
    echo "sha256:$digest $(stat -c %s "$layout/blobs/sha256/$digest")"
}

flat() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -C "$1" -cf "$2" .; }

# archive FILE IMAGE ROOT CONFIG — CONFIG is the JSON object of an OCI image's "config"
archive() {
    local layout=$work/layout arch layer layer_size config config_size manifest manifest_size
    arch=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
    rm -rf "$layout"
    mkdir -p "$layout/blobs/sha256"

    flat "$3" "$work/layer"
    read -r layer layer_size < <(blob "$work/layer")
    printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created_by":"hack/images.sh"}]}' \
        "$arch" "$4" "$layer" >"$work/config"
    read -r config config_size < <(blob "$work/config")
    printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s","digest":"%s","size":%d},"layers":[{"mediaType":"%s","digest":"%s","size":%d}]}' \
        application/vnd.oci.image.manifest.v1+json \
        application/vnd.oci.image.config.v1+json "$config" "$config_size" \
        application/vnd.oci.image.layer.v1.tar "$layer" "$layer_size" >"$work/manifest"
    read -r manifest manifest_size < <(blob "$work/manifest")
    printf '{"schemaVersion":2,"mediaType":"%s","manifests":[{"mediaType":"%s","digest":"%s","size":%d,"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}}]}' \
        application/vnd.oci.image.index.v1+json application/vnd.oci.image.manifest.v1+json \
        "$manifest" "$manifest_size" "$2" "${2##*:}" >"$layout/index.json"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"

    flat "$layout" "$work/archive.tar"
    # An archive that would not change is not touched: its time tells whoever loads it that it is the same.
    cmp -s "$work/archive.tar" "$out/$1.tar" || mv "$work/archive.tar" "$out/$1.tar"
    echo "$out/$1.tar  $2"
}

# The whole workspace, as `make build` does: one package alone would have its dependencies built anew with fewer features.
build() { cargo build --quiet --profile "$profile" --workspace --bins; }

image_pause() {
    # Freestanding: see crates/pause/src/main.rs.
    cargo rustc --quiet --package pause --profile pause -- -Crelocation-model=static \
        -Clink-arg=-nostartfiles -Clink-arg=-nostdlib -Clink-arg=-static -Clink-arg=-Wl,--build-id=none
    install -D -m 755 "$target/pause/pause" "$root/pause"
    archive pause docker.io/kogge/pause:latest "$root" '{"Entrypoint":["/pause"],"StopSignal":"SIGTERM"}'
}

image_busybox() {
    # The dynamic one: Debian's static busybox crashes in glibc's name service when it resolves a name.
    fresh "$root"
    program "$root" "$(command -v busybox)" bin/busybox
    local applet
    for applet in $(busybox --list-full); do
        [ "$applet" = bin/busybox ] || ln -sf /bin/busybox "$root/$applet" 2>/dev/null || ln -sf /bin/busybox "$root/usr/bin/${applet##*/}"
    done
    mkdir -p "$root/home" "$root/var/tmp"
    archive busybox docker.io/library/busybox:latest "$root" \
        '{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["sh"]}'
}

hello() {
    build hello
    fresh "$root"
    program "$root" "$bin/hello" usr/bin/hello
    archive "$1" "docker.io/kogge/hello:$2" "$root" \
        '{"Env":["PATH=/usr/bin","VERSION='"$3"'"],"Entrypoint":["/usr/bin/hello"],"ExposedPorts":{"8080/tcp":{}}}'
}
image_hello() { hello hello latest v1; }
image_hello-v2() { hello hello-v2 v2 v2; }

image_nginx() {
    fresh "$root"
    program "$root" "$(PATH=$PATH:/usr/sbin command -v nginx)" usr/sbin/nginx
    mkdir -p "$root"/etc/nginx/conf.d "$root"/usr/share/nginx/html "$root"/var/{log,lib}/nginx "$root/usr/local/bin"
    cp /etc/nginx/mime.types "$root/etc/nginx/"
    cp /usr/share/nginx/html/index.html "$root/usr/share/nginx/html/"
    cat >"$root/etc/nginx/nginx.conf" <<-'CONF'
		user www-data;
		worker_processes 1;
		events { worker_connections 1024; }
		http {
		    include /etc/nginx/mime.types;
		    default_type application/octet-stream;
		    access_log /dev/stdout combined;
		    error_log /dev/stderr notice;
		    sendfile on;
		    include /etc/nginx/conf.d/*.conf;
		}
	CONF
    cat >"$root/etc/nginx/conf.d/default.conf" <<-'CONF'
		server {
		    listen 80 default_server;
		    root /usr/share/nginx/html;
		    index index.html;
		}
	CONF
    # A shell, because people exec one into nginx.
    program "$root" "$(command -v busybox)" bin/busybox
    local applet
    for applet in sh ls cat wget sleep ps hostname; do ln -sf busybox "$root/bin/$applet"; done
    archive nginx docker.io/library/nginx:latest "$root" \
        '{"Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["nginx","-g","daemon off;"],"ExposedPorts":{"80/tcp":{}},"StopSignal":"SIGQUIT"}'
}

image_dns() {
    build dns
    fresh "$root"
    program "$root" "$bin/kogge-dns" usr/bin/kogge-dns
    archive dns docker.io/kogge/dns:latest "$root" '{"Env":["PATH=/usr/bin"],"Entrypoint":["/usr/bin/kogge-dns"]}'
}

[ $# -gt 0 ] || set -- pause busybox hello hello-v2 nginx dns
for image; do
    root=$work/root
    rm -rf "$root"
    mkdir "$root"
    "image_$image"
done
