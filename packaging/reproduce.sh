#!/usr/bin/env bash
# Shows that a release is bit for bit the same wherever it is built: the commit that is checked out is cloned into two folders of
# different names, released in each, and the two are compared.
#
#   packaging/reproduce.sh
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet --no-hardlinks . "$work/one"
git clone --quiet --no-hardlinks "$work/one" "$work/another/place"
for folder in one another/place; do
    "$work/$folder/packaging/release.sh" > "$work/said" || { cat "$work/said" >&2; exit 1; }
done
if ! diff "$work/one/target/dist/SHA256SUMS" "$work/another/place/target/dist/SHA256SUMS"; then
    echo "packaging/reproduce.sh: the two releases differ" >&2
    exit 1
fi
cat "$work/one/target/dist/SHA256SUMS"
