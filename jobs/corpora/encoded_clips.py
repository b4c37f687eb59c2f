"""The codes of a corpus that holds none, or another codec's: made when they are first asked for, and kept."""

import io
from pathlib import Path

import numpy as np
import torch

from jobs.corpora.corpus import Corpus
from renderer.codecs.codec import Codec
from renderer.midi.notes import IntArray, Notes
from renderer.training.checkpoints import replace_file


class EncodedClips:
    """A corpus with the codes of a codec, kept in a folder, a file a clip.

    Several processes may share the folder: each file is there as a whole or not at all, whoever writes it.
    """

    def __init__(self, corpus: Corpus, codec: Codec, folder: Path) -> None:
        self._corpus, self._codec, self._folder = corpus, codec, folder
        folder.mkdir(parents=True, exist_ok=True)

    def notes(self, index: int) -> Notes:
        """See ``ClipSource``."""
        return self._corpus.notes(index)

    @torch.no_grad()
    def codes(self, index: int) -> IntArray:
        """See ``ClipSource``."""
        path = self._folder / f"{self._corpus.clips[index].item_id}.npy"
        if not path.exists():
            made = self._codec.encode(torch.from_numpy(self._corpus.audio(index))[None])[0].T.cpu().numpy()
            content = io.BytesIO()
            np.save(content, made.astype(np.uint16))
            replace_file(path, content.getvalue())
        return np.load(path).astype(np.int64)

    def prompts_for(self, index: int) -> IntArray:
        """See ``ClipSource``."""
        return self._corpus.prompts_for(index)
