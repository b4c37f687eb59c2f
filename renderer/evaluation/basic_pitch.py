"""The transcriber Basic Pitch (Bittner et al., arXiv 2203.09893): quick, hears too many notes, for any instrument."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from renderer.audio.audio_file import FloatSamples, write_audio
from renderer.evaluation.optional import optional_import
from renderer.midi.notes import Notes

INSTALL = "pip install --no-deps basic-pitch 'resampy<0.4.3' pretty_midi onnxruntime flatbuffers"
"""Without its dependencies, which are TensorFlow and a numpy that is too old: the package holds an ONNX file, too."""

_SETTINGS = {
    "onset_thresh": 0.7,
    "frame_thresh": 0.4,
    "min_note_len": 5,
    "infer_onsets": False,
    "melodia_trick": False,
    "include_pitch_bends": False,
}
"""For pianos: by the package's own it hears many notes that nobody played."""


class BasicPitch:
    """Basic Pitch by its ONNX file, which is part of its package."""

    def __init__(self) -> None:
        needed = "transcription by Basic Pitch"
        with _quiet():
            optional_import("onnxruntime", needed, INSTALL)
            self._inference: Any = optional_import("basic_pitch.inference", needed, INSTALL)
            package: Any = optional_import("basic_pitch", needed, INSTALL)
            self._notes: Any = optional_import("basic_pitch.note_creation", needed, INSTALL)
            self._model = self._inference.Model(package.build_icassp_2022_model_path(package.FilenameSuffix.onnx))

    def transcribe(self, samples: FloatSamples, sample_rate: int) -> Notes:
        """See ``Transcriber``; the package reads files only. Velocities are the amplitudes it heard, times 127."""
        with tempfile.TemporaryDirectory() as folder, _quiet():
            path = Path(folder) / "audio.wav"
            write_audio(path, samples, sample_rate, "wav-float")
            heard = self._inference.run_inference(path, self._model)
            _, events = self._notes.model_output_to_notes(heard, **_SETTINGS)
        return Notes.of(
            [event[0] for event in events],
            [max(event[1], event[0] + 0.01) for event in events],
            [event[2] for event in events],
            np.clip(np.rint([127 * event[3] for event in events]), 1, 127),
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither the package's warnings about the frameworks that are not installed, nor its reports of progress."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
