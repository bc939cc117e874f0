#!/usr/bin/env python3
"""Pushes an OCI archive to a registry that speaks plain HTTP, for tests of pulling.

hack/push-image.py ARCHIVE HOST:PORT NAME:TAG
"""

import json
import sys
import tarfile
import urllib.request

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def main(archive, registry, reference):
    name, tag = reference.rsplit(":", 1)
    base = f"http://{registry}/v2/{name}"
    with tarfile.open(archive) as tar:
        # A path may be written with or without a leading "./".
        files = {member.name.removeprefix("./"): member for member in tar if member.isfile()}

        def read(path):
            return tar.extractfile(files[path]).read()

        def blob(digest):
            return read("blobs/" + digest.replace(":", "/"))

        index = json.loads(read("index.json"))
        manifest_bytes = blob(index["manifests"][0]["digest"])
        manifest = json.loads(manifest_bytes)
        if "manifests" in manifest:
            manifest_bytes = blob(manifest["manifests"][0]["digest"])
            manifest = json.loads(manifest_bytes)
        for part in [manifest["config"], *manifest["layers"]]:
            upload(base, part["digest"], blob(part["digest"]))
    request = urllib.request.Request(f"{base}/manifests/{tag}", manifest_bytes, method="PUT")
    request.add_header("Content-Type", manifest.get("mediaType", MANIFEST))
    urllib.request.urlopen(request, timeout=30)


def upload(base, digest, data):
    request = urllib.request.Request(f"{base}/blobs/uploads/", b"", method="POST")
    location = urllib.request.urlopen(request, timeout=30).headers["Location"]
    separator = "&" if "?" in location else "?"
    request = urllib.request.Request(f"{location}{separator}digest={digest}", data, method="PUT")
    request.add_header("Content-Type", "application/octet-stream")
    urllib.request.urlopen(request, timeout=60)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
