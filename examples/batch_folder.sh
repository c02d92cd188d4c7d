#!/usr/bin/env bash
# Stems of every export in a folder and its sub-folders, with one start of the program.
#
#     examples/batch_folder.sh ~/Exports                          # stems beside each export
#     examples/batch_folder.sh ~/Exports --out ~/Stems --preset karaoke
#
# What follows the folder goes to `stembridge split`. A bad file is named and skipped; the exit code
# is 1 then. To go through a folder again and again and do only what is new, use
# `stembridge watch --once FOLDER`: it remembers. STEMBRIDGE names the program if it is not in PATH.
set -euo pipefail

if [ $# -eq 0 ] || [ ! -d "$1" ]; then
    echo "usage: $0 FOLDER [options of stembridge split]" >&2
    exit 2
fi
folder=$1
shift

exports=()
while IFS= read -r -d '' file; do
    exports+=("$file")
done < <(find "$folder" -name Stems -prune -o -type f ! -name '.*' \
    \( -iname '*.wav' -o -iname '*.aif' -o -iname '*.aiff' -o -iname '*.flac' \) -print0 | sort -z)

if [ ${#exports[@]} -eq 0 ]; then
    echo "no .wav, .aif, .aiff or .flac in $folder" >&2
    exit 1
fi
echo "${#exports[@]} exports in $folder"
exec "${STEMBRIDGE:-stembridge}" split "$@" -- "${exports[@]}"
