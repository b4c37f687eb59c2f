#!/usr/bin/env bash
# From a phone recording to a data set that sounds like it: its best 3 s become the prompt of every item.
#
#   make.sh RECORDING MIDI OUT [RENDERINGS]
#
# RECORDING: audio, with its transcription as MIDI of the same name beside it, or none: then a transcriber hears it.
# MIDI: a folder of performances; OUT: a new folder; at most so many renderings, all by default.
# LICENCE and MIDI_LICENCE are those of the recording and of the performances: an export names them.
set -euo pipefail
recording=$1 midi=$2 out=$3
root=$(realpath "$midi")
mkdir -p "$out"
midi-valle prompts make "$recording" --out "$out/bank.parquet" --align \
    --licence "${LICENCE:?say what the licence of $recording is}" --source "$(basename "$recording")"
midi-valle prompts show "$out/bank.parquet" --out "$out/bank.html"
midi-valle manifest build "$midi" --out "$out/manifest.parquet" --prompts "$out/bank.parquet" \
    --excerpt 10 --split 0.7,0.15,0.15
render-corpus "$out/manifest.parquet" --prompts "$out/bank.parquet" --out "$out/run" --allow-root "$root" \
    --layout parquet ${4:+--limit "$4"}
midi-valle export "$out/run" "$out/hub" --as huggingface ${MIDI_LICENCE:+--midi-licence "$MIDI_LICENCE"}
echo "the prompt: $out/bank.html; how it sounds: $out/run/report.html; the data set: $out/hub"
