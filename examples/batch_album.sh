#!/usr/bin/env bash
# Stems of a whole album of exports: drums with a preset of their own, everything else as usual.
#
#     examples/batch_album.sh ~/Exports/Album ~/Stems/Album
#
# What is done already is left as it is, so the same command goes on where it was interrupted. What
# follows the two folders goes to `stembridge batch`, such as --jobs 2 or --dry-run. STEMBRIDGE names
# the program if it is not in PATH. batch_album.sh, batch_folder.sh: this one remembers.
set -euo pipefail

if [ $# -lt 2 ] || [ ! -d "$1" ]; then
    echo "usage: $0 EXPORTS STEMS [options of stembridge batch]" >&2
    exit 2
fi
exports=$1
stems=$2
shift 2

exec "${STEMBRIDGE:-stembridge}" batch "$exports" --out "$stems" --preset mix-ready \
    --map 'Drums*=rehearsal-drums' "$@"
