#!/usr/bin/env bash
# The tarball that unpacks to the one program, with its checksum beside it, as CoreDNS's releases have them.
#
#   packaging/tarball.sh [FOLDER]   of FOLDER/waypost (target/dist), into the same folder
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh

cd "${1:-target/dist}"
name=waypost_${version}_linux_amd64.tgz
tar --create --format=ustar --owner=0 --group=0 --numeric-owner --mode=755 --mtime="@$SOURCE_DATE_EPOCH" waypost |
    gzip -9n > "$name"
sha256sum "$name" > "$name.sha256"
touch --date="@$SOURCE_DATE_EPOCH" "$name" "$name.sha256"
echo "$name: $(stat -c %s "$name") bytes"
