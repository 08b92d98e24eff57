#!/usr/bin/env bash
# All that is released: the program, the tarball, the Debian package, the container image, what they are made of, and their checksums.
#
#   packaging/release.sh [FOLDER]   into FOLDER (target/dist), which is emptied first
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh
need dpkg-deb:dpkg lowdown:lowdown jq:jq setcap:libcap2-bin readelf:binutils

out=${1:-target/dist}
rm -rf "$out"
packaging/build.sh "$out"
packaging/sbom.sh "$out"
packaging/tarball.sh "$out"
packaging/deb.sh "$out"
packaging/image.sh "$out"
(cd "$out" && sha256sum -- * > SHA256SUMS)
