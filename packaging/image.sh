#!/usr/bin/env bash
# The container image: the program and nothing else it would need, laid out as CoreDNS's is, so that it can take its place. One tar file that is an
# OCI layout and what `docker load` reads at once (podman, skopeo and ctr read it too). No engine takes part, so nothing of a machine is in it.
#
#   packaging/image.sh [FOLDER]     of what build.sh and sbom.sh have put into FOLDER (target/dist), into the same folder
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh
need jq:jq setcap:libcap2-bin

out=${1:-target/dist}
archive=waypost_${version}_linux_amd64_image.tar
# Bytes that the image may have.
size_max=$((17 * 1024 * 1024))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
layout=$work/layout
mkdir -p "$layout/blobs/sha256" "$work/root"
created=$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

# pack FOLDER ARGUMENT…: a tar file of the folder on standard output, with nothing of this machine.
pack() {
    tar --directory "$1" --create --format=posix --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
        --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime "${@:2}" .
}
# blob FILE: moves it to where its checksum says, and prints that.
blob() {
    local sum
    sum=$(sha256sum "$1" | cut -d' ' -f1)
    mv "$1" "$layout/blobs/sha256/$sum"
    echo "$sum"
}
size() { stat -c %s "$layout/blobs/sha256/$1"; }

install --mode=755 "$out/waypost" "$work/root/waypost"
ln -s waypost "$work/root/coredns"
for file in LICENSE "$out/waypost.cdx.json" "$out/third-party-licenses.txt"; do
    install -D --mode=644 "$file" "$work/root/usr/share/doc/waypost/$(basename "$file")"
done

# The right to bind port 53, for a user who is not root, is the file's. Who is not root on this machine may give it in a name space.
export -f pack
capable() {
    setcap cap_net_bind_service=+ep "$1/waypost"
    pack "$1" --xattrs --xattrs-include=security.capability
}
export -f capable
if [ "$(id -u)" = 0 ]; then
    capable "$work/root" > "$work/layer"
else
    # shellcheck disable=SC2016 # $0 is the argument
    unshare --user --map-root-user bash -euo pipefail -c 'capable "$0"' "$work/root" > "$work/layer"
fi
layer=$(blob "$work/layer")

jq --null-input --compact-output --sort-keys --arg created "$created" --arg layer "sha256:$layer" --arg version "$version" \
    --arg revision "$WAYPOST_REVISION" --arg description "$(sed -n 's/^description = "\(.*\)"$/\1/p' Cargo.toml)" '{
    created: $created,
    architecture: "amd64",
    os: "linux",
    config: {
        User: "65532:65532",
        WorkingDir: "/",
        Env: ["PATH=/"],
        Entrypoint: ["/waypost"],
        ExposedPorts: {"53/tcp": {}, "53/udp": {}},
        StopSignal: "SIGTERM",
        # Of Docker; in nanoseconds. Asked is wherever it listens, which needs no plugin.
        Healthcheck: {Test: ["CMD", "/waypost", "health", "dns://"], Interval: 30e9, Timeout: 5e9, StartPeriod: 5e9, Retries: 3},
        Labels: {
            "org.opencontainers.image.title": "waypost",
            "org.opencontainers.image.description": $description,
            "org.opencontainers.image.version": $version,
            "org.opencontainers.image.revision": $revision,
            "org.opencontainers.image.created": $created,
            "org.opencontainers.image.licenses": "Apache-2.0"
        }
    },
    rootfs: {type: "layers", diff_ids: [$layer]},
    history: [{created: $created, created_by: "packaging/image.sh"}]
}' > "$work/config"
config=$(blob "$work/config")

jq --null-input --compact-output --sort-keys --arg config "sha256:$config" --arg layer "sha256:$layer" \
    --argjson config_size "$(size "$config")" --argjson layer_size "$(size "$layer")" '{
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $config, size: $config_size},
    layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $layer, size: $layer_size}]
}' > "$work/manifest"
manifest=$(blob "$work/manifest")

jq --null-input --compact-output --sort-keys --arg manifest "sha256:$manifest" --argjson size "$(size "$manifest")" \
    --arg version "$version" '{
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [{
        mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $manifest, size: $size,
        platform: {architecture: "amd64", os: "linux"},
        annotations: {
            "io.containerd.image.name": "docker.io/library/waypost:\($version)",
            "org.opencontainers.image.ref.name": $version
        }
    }]
}' > "$layout/index.json"
echo '{"imageLayoutVersion":"1.0.0"}' > "$layout/oci-layout"
# What Docker read before it knew OCI layouts.
jq --null-input --compact-output --arg config "$config" --arg layer "$layer" --arg version "$version" '[{
    Config: "blobs/sha256/\($config)",
    RepoTags: ["waypost:\($version)", "waypost:latest"],
    Layers: ["blobs/sha256/\($layer)"]
}]' > "$layout/manifest.json"

chmod -R u=rwX,go=rX "$layout"
pack "$layout" > "$out/$archive"
touch --date="@$SOURCE_DATE_EPOCH" "$out/$archive"
bytes=$(stat -c %s "$out/$archive")
[ "$bytes" -le $size_max ] || { echo "packaging/image.sh: $bytes bytes are more than $size_max" >&2; exit 1; }
echo "$archive: $bytes bytes, sha256:$manifest"
