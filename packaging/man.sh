#!/usr/bin/env bash
# Manual pages: waypost(1) of what the program says of itself with -help, and waypost-PLUGIN(7) of each plugin's manual, which the program
# carries. So they say what this very program does.
#
#   packaging/man.sh PROGRAM FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/version.sh
need lowdown:lowdown

program=$1 out=$2
mkdir -p "$out"
date=$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%d)

# page NAME SECTION: from Markdown on standard input to a page of that name.
page() {
    lowdown -s -tman -M "title=${1^^}" -M "section=$2" -M "date=$date" -M "source=waypost $version" |
        gzip -9n > "$out/$1.$2.gz"
}

names=$("$program" plugins | sed '/^$/d')

{
    printf '# NAME\n\nwaypost - DNS server\n\n# DESCRIPTION\n\n'
    # What is indented is shown as it stands; a line that ends in a colon before it is its heading.
    "$program" -help | awk '
        # Lines of text that follow one another are one paragraph.
        function show() { if (held != "") { print held "\n"; held = "" } }
        /^[A-Z][a-z]*:$/ { show(); if (fence) { print "```\n"; fence = 0 }; print "# " toupper(substr($0, 1, length - 1)) "\n"; next }
        /^ /             { show(); if (!fence) { print "```text"; fence = 1 }; print substr($0, 3); next }
        /^$/             { if (!fence) show(); else { print "```\n"; fence = 0 }; next }
                         { if (fence) { print "```\n"; fence = 0 }; held = held (held == "" ? "" : "\n") $0 }
        END              { if (fence) print "```\n"; show() }'
    printf '# FILES\n\n*/etc/waypost/Corefile*: the configuration that the service waypost reads.\n\n# SEE ALSO\n\n'
    for name in $names; do printf '**waypost-%s**(7) ' "$name"; done
} | page waypost 1

for name in $names; do
    "$program" explain "$name" | awk -v name="$name" '
        /^```/ { code = !code }
        # The title and the sentence below it become the name and what it is.
        !code && /^# / { title = 1; next }
        title && /^$/  { if (sentence != "") { title = 0; summary() }; next }
        title          { sentence = sentence (sentence == "" ? "" : " ") $0; next }
        !code && /^##/ { if (/^## /) $0 = toupper($0); sub(/^#/, "") }
                       { print }
        function summary() {
            sub("^[*_`]*" name "[*_`]* ", "", sentence); sub(/\.$/, "", sentence)
            print "# NAME\n\nwaypost-" name " - " sentence "\n"
        }' | page "waypost-$name" 7
done
