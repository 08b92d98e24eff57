#!/usr/bin/env bash
# What the shipped program is made of, as CycloneDX 1.5 (waypost.cdx.json), and the licences of those parts in their own words
# (third-party-licenses.txt): the crates that are linked, with the checksums of Cargo.lock, Rust's standard library, and the C library.
#
#   packaging/sbom.sh [FOLDER]      writes both into FOLDER (target/dist)
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh
need jq:jq

out=${1:-target/dist}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

triple=x86_64-unknown-linux-gnu
cargo metadata --locked --format-version 1 --filter-platform $triple > "$work/metadata.json"
# What is linked: the metadata are of everything that is built, and so have parts and features in them that only tests want.
cargo tree --locked --quiet --target $triple --edges normal,no-proc-macro --prefix none --format '{p}' > "$work/linked"
# The checksums of Cargo.lock by package, as JSON.
awk -F'"' '
    /^name = /     { name = $2 }
    /^version = /  { version = $2 }
    /^checksum = / { printf "%s{\"key\":\"%s %s\",\"value\":\"%s\"}\n", n++ ? "," : "", name, version, $2 }
    BEGIN { print "[" } END { print "]" }' Cargo.lock | jq 'from_entries' > "$work/checksums.json"
rust=$(rustc --version | cut -d' ' -f2)
# Whose C library it is, and which.
glibc=$(dpkg-query --show --showformat='${source:Version}' libc6-dev 2>/dev/null || ldd --version | sed -n '1s/.* //p')

jq --sort-keys --rawfile linked "$work/linked" --slurpfile checksums "$work/checksums.json" --arg rust "$rust" --arg glibc "$glibc" \
    --arg revision "$WAYPOST_REVISION" --arg time "$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)" '
    # Older crates write their alternatives with a slash.
    def licenses: if .license then [{expression: (.license | gsub("/"; " OR "))}] else [] end;
    # As package URLs want it: a plus sign of a version is escaped, a colon is not.
    def escaped: @uri | gsub("%3A"; ":");
    def purl: "pkg:cargo/\(.name)@\(.version | escaped)";
    (.packages | map({key: .id, value: .}) | from_entries) as $packages
    | .resolve.root as $root
    | ($linked | split("\n") | map({key: (split(" ")[0:2] | join(" ")), value: true}) | from_entries) as $is_linked
    # Of each package those that are linked to it: neither for tests nor for build scripts, and no macros, which run in the compiler.
    | (.resolve.nodes | map({key: .id, value: [
        .deps[] | select(any(.dep_kinds[]; .kind == null)) | .pkg
        | select($packages[.] | $is_linked["\(.name) v\(.version)"])
      ]}) | from_entries) as $links
    | {seen: [$root], next: [$root]}
    | until(.next == []; .seen as $seen
        | [.next[] | $links[.][]] | unique | map(select(. as $id | $seen | index([$id]) | not))
        | {seen: ($seen + .), next: .})
    | [.seen[] | select(. != $root) | $packages[.]] | sort_by(.name, .version) as $crates
    | ($packages[$root] | purl) as $self
    | "pkg:deb/debian/glibc@\($glibc | escaped)" as $glibc_purl
    | [
        {type: "library", name: "glibc", version: $glibc, "bom-ref": $glibc_purl, purl: $glibc_purl, licenses: [{expression: "LGPL-2.1-or-later"}]},
        {type: "library", name: "rust-std", version: $rust, "bom-ref": "pkg:generic/rust-std@\($rust)",
         purl: "pkg:generic/rust-std@\($rust)", licenses: [{expression: "MIT OR Apache-2.0"}]}
      ] as $runtime
    | {
        bomFormat: "CycloneDX",
        specVersion: "1.5",
        version: 1,
        metadata: {
            timestamp: $time,
            component: ($packages[$root] | {
                type: "application", name, version, description, "bom-ref": purl, purl: purl, licenses: licenses,
                properties: [{name: "waypost:revision", value: $revision}]
            })
        },
        components: ($runtime + [$crates[] | {
            type: "library", name, version, description, "bom-ref": purl, purl: purl, licenses: licenses,
            hashes: [$checksums[0]["\(.name) \(.version)"] // empty | {alg: "SHA-256", content: .}]
        } | with_entries(select(.value != null))]),
        dependencies: (
            [{ref: $self, dependsOn: ([$links[$root][] | $packages[.] | purl] + [$runtime[].purl] | sort)}]
            + [$crates[] | {ref: purl, dependsOn: ([$links[.id][] | $packages[.] | purl] | unique)}]
            + [$runtime[] | {ref: .purl, dependsOn: []}]
        )
    }' "$work/metadata.json" > "$out/waypost.cdx.json"

jq --raw-output --slurpfile metadata "$work/metadata.json" '
    .components[] | . as $c | $metadata[0].packages[] | select(.name == $c.name and .version == $c.version)
    | [.name, .version, .license // "-", .repository // "-", (.manifest_path | rtrimstr("/Cargo.toml"))] | @tsv' "$out/waypost.cdx.json" |
    while IFS=$'\t' read -r name of licence repository folder; do
        printf '================ %s %s: %s\n%s\n\n' "$name" "$of" "$licence" "$repository"
        # shellcheck disable=SC2016 # $1 is the argument
        find "$folder" -maxdepth 1 -type f -iregex '.*/\(un\)?\(licen[sc]e\|copying\|notice\)[^/]*' -print0 | sort --zero-terminated |
            xargs --null --no-run-if-empty -I{} sh -c 'cat "$1"; echo' sh {}
    done > "$out/third-party-licenses.txt"
touch --date="@$SOURCE_DATE_EPOCH" "$out/waypost.cdx.json" "$out/third-party-licenses.txt"
echo "$out/waypost.cdx.json: $(jq '.components | length' "$out/waypost.cdx.json") components"
