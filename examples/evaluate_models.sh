#!/usr/bin/env bash
# How good are models on your own music? Scores with a floor below and a ceiling above, as a table
# on the screen and as CSV for a spreadsheet.
#
#     examples/evaluate_models.sh ~/Multitracks scores.csv spleeter:2stems htdemucs
#
# A track is a folder with vocals.wav, drums.wav, bass.wav, other.wav (or some of them), or a
# .stem.mp4 file; evaluate_models.sh finds tracks at any depth. STEMBRIDGE names the program if it is
# not in PATH.
set -euo pipefail

if [ $# -lt 3 ] || [ ! -d "$1" ]; then
    echo "usage: $0 TRACKS FILE.csv MODEL..." >&2
    exit 2
fi
tracks=$1
scores=$2
shift 2

models=()
for model in "$@"; do
    models+=(--model "$model")
done
# The centre is the least that a method should beat; the oracle is the best that masks can do.
exec "${STEMBRIDGE:-stembridge}" evaluate "$tracks" "${models[@]}" \
    --baseline centre --oracle --csv "$scores"
