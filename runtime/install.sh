#!/usr/bin/env bash
# install.sh: what building and running images needs on Debian, for machines without a container tool. As root.
set -euo pipefail
command -v podman >/dev/null && command -v debootstrap >/dev/null && exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2
apt-get install --yes --quiet=2 --no-install-recommends -o DPkg::Lock::Timeout=600 podman buildah runc debootstrap catatonit
