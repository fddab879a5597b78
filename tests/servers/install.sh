#!/usr/bin/env bash
# Installs the real servers that the tests of remote data run against. Without root or apt-get it installs nothing and says
# so; the tests that need a missing server are then skipped, with this command as the reason.
set -euo pipefail

packages=(
    ceph-mon ceph-osd ceph-common radosgw                                     # S3
    nginx-light libnginx-mod-http-dav-ext openssl                             # http and https, WebDAV
    xrootd-server xrootd-client xrootd-server-plugins xrootd-plugins          # XRootD and XrdHttp
    krb5-kdc krb5-admin-server krb5-user                                      # Kerberos, for XRootD
)

missing=()
for package in "${packages[@]}"; do
    dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "servers for tests of remote data: not installed (needs root and apt-get): ${missing[*]}" >&2
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
