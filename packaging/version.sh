# shellcheck shell=bash disable=SC2034 # it is sourced, and uses nothing itself
# What names and dates everything that is packaged; sourced by the scripts beside it, in the repository's root.
#
# SOURCE_DATE_EPOCH is the time of the commit, and WAYPOST_REVISION its name, unless they are set: who builds from a source without its history
# sets them.

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
fi
if [ -z "${WAYPOST_REVISION:-}" ]; then
    WAYPOST_REVISION=$(git rev-parse --short=9 HEAD)
fi
export SOURCE_DATE_EPOCH WAYPOST_REVISION LC_ALL=C TZ=UTC
umask 022

# Says which programs are missing, and the packages of Debian that have them: program:package …
need() {
    local entry missing=
    for entry; do
        command -v "${entry%%:*}" >/dev/null || missing="$missing ${entry##*:}"
    done
    [ -z "$missing" ] || { echo "Install these first: apt-get install$missing" >&2; exit 1; }
}
