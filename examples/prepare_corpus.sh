#!/usr/bin/env bash
# A corpus of many conditions: 60 hours of any MIDI on any sampled pianos, in a thousand drawn conditions, as audio and
# codes, and all its codes in one file for a training elsewhere. Run it again to go on; on one core it takes hours.
#
#   prepare_corpus.sh OUT PIANOS MIDI...
#
# PIANOS is a folder with one folder for each piano, in which piano.sfz is; MIDI are folders, or lists, of MIDI files.
# Held out of training, as a test of prompts by pianos and rooms never heard: a tenth of the rooms, and HOLD_OUT.
#   HOLD_OUT="upright decca" HOURS=10 CONDITIONS=200 CODEC=mini SHARES="0.4 0.6" prepare_corpus.sh ...
set -euo pipefail

out=$1 pianos=$2
shift 2
options=(--hours "${HOURS:-60}" --conditions "${CONDITIONS:-1000}" --hold-out-rooms 0.1 --codec "${CODEC:-mini}")
for piano in "$pianos"/*/piano.sfz; do options+=(--piano "$(basename "$(dirname "$piano")")=$piano"); done
for piano in ${HOLD_OUT:-}; do options+=(--hold-out-piano "$piano"); done
for share in ${SHARES:-}; do options+=(--share "$share"); done
if [ -n "${ACTORS:-}" ]; then options+=(--actors "$ACTORS"); fi

midi-valle prepare "$@" --out "$out" "${options[@]}" --transpose 4 --validation 0.02 --test 0.04 --seed "${SEED:-0}"
midi-valle pack "$out" --out "$out.safetensors"
