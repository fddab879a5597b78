#!/usr/bin/env bash
# Installs Slurm for the tests of the batch back ends. Without root or apt-get it installs nothing and says so; the tests are
# then skipped, with this command as the reason. Arguments are more packages: slurmdbd and mariadb-server for accounting.
set -euo pipefail

packages=(slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge "$@")

missing=()
for package in "${packages[@]}"; do
    dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Slurm for tests of the batch back ends: not installed (needs root and apt-get): ${missing[*]}" >&2
    exit 0
fi

# Debian starts what it installs; a test machine wants none of these as services.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install --yes --quiet=2 --no-install-recommends -o DPkg::Lock::Timeout=600 "${missing[@]}" >/dev/null; }
install || { apt-get update --quiet=2 && install; }
