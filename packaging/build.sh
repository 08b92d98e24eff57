#!/usr/bin/env bash
# The program as it is shipped: one static binary, bit for bit the same wherever the same source is built by the same compiler and C library,
# and the line tables for its backtraces in a file beside it. It keeps the names of its functions, for profiles of the running server (`pprof`). Nothing of the folder, the user, the machine or the day goes into it.
#
#   packaging/build.sh [FOLDER]     puts waypost and waypost.debug into FOLDER (target/dist)
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh

out=${1:-target/dist}
# A host triple, so that the flags do not reach build scripts, which are no part of what is shipped.
triple=x86_64-unknown-linux-gnu
build=target/shipped

# What static binaries of the C library would load at run time: name services, which want shared libraries of the very same build.
forbidden='getaddrinfo|getnameinfo|gethostby|getservby|getpwnam|getpwuid|getgrnam|getgrgid|__nss_'
# Bytes that the program may have.
size_max=$((16 * 1024 * 1024))

cargo fetch --quiet --locked --target $triple
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
flags=("-Ctarget-feature=+crt-static" "-Clink-arg=-Wl,--build-id=sha1" "--remap-path-prefix=$PWD=waypost")
c_flags="-ffile-prefix-map=$PWD=waypost"
for registry in "$sources"/*/; do
    flags+=("--remap-path-prefix=${registry%/}=crates")
    c_flags+=" -ffile-prefix-map=${registry%/}=crates"
done
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS CARGO_INCREMENTAL=0
# What is written in C and assembly: ring's arithmetic.
export CFLAGS=$c_flags
unset RUSTFLAGS
cargo build --quiet --release --locked --bin waypost --target $triple --target-dir $build
built=$build/$triple/release/waypost

fail() { echo "packaging/build.sh: $*" >&2; exit 1; }
# Read before they are searched: a search that ends early would end the program that prints, too.
headers=$(readelf --wide --program-headers --dynamic $built)
symbols=$(nm $built)
! grep -E 'INTERP|\(NEEDED\)' <<<"$headers" || fail "the program is not static"
# Only what is there: fork mentions name services, and leaves them out where nobody has brought them in.
! grep -E "[TtWwVvIi] ($forbidden)" <<<"$symbols" || fail "the program asks name services of the C library"
! strings $built | grep -F "$PWD" || fail "the program knows the folder it was built in"
! strings $built | grep -F "$sources" || fail "the program knows the folder of its crates"

mkdir -p "$out"
rm -f "$out"/waypost "$out"/waypost.debug
(
    # The link from one to the other holds a name without a folder.
    cd "$out"
    built=$OLDPWD/$built
    objcopy --only-keep-debug "$built" waypost.debug
    chmod 644 waypost.debug
    objcopy --strip-debug --add-gnu-debuglink=waypost.debug "$built" waypost
    chmod 755 waypost
    touch --date="@$SOURCE_DATE_EPOCH" waypost waypost.debug
)
size=$(stat -c %s "$out/waypost")
[ "$size" -le $size_max ] || fail "$size bytes are more than $size_max"
echo "$out/waypost: $size bytes, $(sha256sum "$out/waypost" | cut -d' ' -f1)"
