#!/usr/bin/env bash
# base.sh TAG [SUITE]: a Debian base image from the Debian archive, for machines that reach no container registry.
# Elsewhere nobody needs it: the recipe's default base is docker.io/library/debian:bookworm-slim.
set -euo pipefail
tag=${1:?expected the name of the image to make, e.g. localhost/debian:bookworm-slim}
suite=${2:-bookworm}
rootfs=$(mktemp -d)
trap 'rm -rf "$rootfs"' EXIT

debootstrap --variant=minbase --include=ca-certificates "$suite" "$rootfs" >&2
# what the slim images on Docker Hub leave out, too; licences (copyright files) stay
rm -rf "$rootfs"/var/cache/apt/* "$rootfs"/var/lib/apt/lists/* "$rootfs"/var/log/*
find "$rootfs"/usr/share/doc -mindepth 2 ! -name copyright ! -type d -delete
rm -rf "$rootfs"/usr/share/{man,info,locale,lintian}/*
tar -C "$rootfs" -c . | "${CONTAINER_TOOL:-podman}" import --quiet - "$tag" >&2
echo "$tag"
