#!/usr/bin/env bash
# The Debian package: the program, its unit, a Corefile that may be edited, manual pages, and what it is made of; and the package of its
# line tables. Made by dpkg-deb alone, as there is nothing to build.
#
#   packaging/deb.sh [FOLDER]       of what build.sh and sbom.sh have put into FOLDER (target/dist), into the same folder
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh
need dpkg-deb:dpkg lowdown:lowdown readelf:binutils

out=${1:-target/dist}
# Whom to write to about the package: who gives it to others says so, in the variables of Debian's own tools. The project has no address yet,
# and no one else's is to get its mail, so by itself it names one that cannot be.
maintainer="${DEBFULLNAME:-waypost maintainers} <${DEBEMAIL:-waypost@packages.invalid}>"
revision=$version-1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/waypost debug=$work/waypost-dbgsym
doc=$root/usr/share/doc/waypost

# Copies a file, and the folders above it.
put() { install -D --mode="${3:-644}" "$1" "$2"; }
# Copies a file compressed, as Debian's rules want it of long ones.
zip() { mkdir -p "$(dirname "$2")" && gzip -9nc "$1" > "$2"; }

put "$out/waypost" "$root/usr/bin/waypost" 755
put packaging/debian/Corefile "$root/etc/waypost/Corefile"
# Here the program stands where packages put it, and the lines that say how to install the unit by hand are of no use.
sed -e '/^#   /d' -e '/^#$/d' -e 's,/usr/local/bin/,/usr/bin/,g' packaging/systemd/waypost.service > "$work/waypost.service"
put "$work/waypost.service" "$root/usr/lib/systemd/system/waypost.service"
# Its addresses are not those of the Corefile that is installed.
put packaging/systemd/waypost.socket "$doc/examples/waypost.socket"
packaging/man.sh "$out/waypost" "$work/man"
for page in "$work"/man/*; do
    section=${page%.gz} section=${section##*.}
    put "$page" "$root/usr/share/man/man$section/$(basename "$page")"
done
put packaging/debian/copyright "$doc/copyright"
put "$out/waypost.cdx.json" "$doc/waypost.cdx.json"
zip "$out/third-party-licenses.txt" "$doc/third-party-licenses.txt.gz"
zip README.md "$doc/README.md.gz"
zip CHANGELOG.md "$doc/changelog.gz"
printf 'waypost (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$revision" \
    "$maintainer" "$(date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")" > "$work/changelog"
zip "$work/changelog" "$doc/changelog.Debian.gz"
put packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/waypost"

build_id=$(readelf --notes "$out/waypost" | sed -n 's/.*Build ID: //p')
put "$out/waypost.debug" "$debug/usr/lib/debug/.build-id/${build_id:0:2}/${build_id:2}.debug"
mkdir -p "$debug/usr/share/doc"
ln -s waypost "$debug/usr/share/doc/waypost-dbgsym"

# control ROOT FIELDS: what dpkg reads, of the fields on standard input.
control() {
    mkdir -p "$1/DEBIAN"
    { fields=$(cat) && fields=${fields//@VERSION@/"$revision"} && echo "${fields//@MAINTAINER@/"$maintainer"}"; echo "Installed-Size: $(du --summarize --apparent-size --block-size=1K --exclude=DEBIAN "$1" | cut -f1)"; } > "$1/DEBIAN/control"
    (cd "$1" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | sort | xargs md5sum > DEBIAN/md5sums)
}
# What is linked statically, in the words of Debian's policy; the version of another distribution's C library says nothing there.
glibc=$(dpkg-query --show --showformat='Built-Using: glibc (= ${source:Version})\n' libc6-dev 2>/dev/null || true)
{ cat packaging/debian/control; [ -z "$glibc" ] || echo "$glibc"; } | control "$root"
echo /etc/waypost/Corefile > "$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    put packaging/debian/$script "$root/DEBIAN/$script" 755
done
control "$debug" <<EOF
Package: waypost-dbgsym
Version: @VERSION@
Architecture: amd64
Auto-Built-Package: debug-symbols
Maintainer: @MAINTAINER@
Depends: waypost (= @VERSION@)
Section: debug
Priority: optional
Build-Ids: $build_id
Description: debug symbols for waypost
EOF

for package in waypost waypost-dbgsym; do
    dpkg-deb --root-owner-group -Zxz --build "$work/$package" "$out/${package}_${revision}_amd64.deb" > "$work/said" || { cat "$work/said" >&2; exit 1; }
    touch --date="@$SOURCE_DATE_EPOCH" "$out/${package}_${revision}_amd64.deb"
    echo "${package}_${revision}_amd64.deb: $(stat -c %s "$out/${package}_${revision}_amd64.deb") bytes"
done
