#!/usr/bin/env bash
# A training set for a transcriber: excerpts with three prompts, split by piece, rendered, and exported.
#
#   make.sh MIDI OUT [RENDERINGS]     MIDI: a folder; OUT: a new folder; at most so many renderings, all by default
set -euo pipefail
midi=$1 out=$2
root=$(realpath "$midi")
mkdir -p "$out"
midi-valle manifest build "$midi" --out "$out/manifest.parquet" --excerpt 10 --split 0.7,0.15,0.15 \
    --prompt salamander-hall --prompt splendid-chamber --prompt splendid-close
render-corpus "$out/manifest.parquet" --out "$out/run" --allow-root "$root" --preset transcription \
    --layout parquet ${3:+--limit "$3"}
midi-valle export "$out/run" "$out/hub" --as huggingface --only good ${MIDI_LICENCE:+--midi-licence "$MIDI_LICENCE"}
