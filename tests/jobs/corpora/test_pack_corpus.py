"""`midi-valle pack`: a corpus as codes alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.corpora import pack_corpus as module
from jobs.corpora.corpus import Corpus
from jobs.corpora.encoded_clips import EncodedClips
from jobs.corpora.pack_corpus import pack_corpus
from jobs.corpora.pack_options import PackOptions
from jobs.errors import JobError
from renderer.training.pack import Pack
from renderer.weights.checkpoint import find_codec, load_codec
from tests.jobs.support.prepared import prepare_here, prepare_options


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One corpus with codes, and the same without."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("packed")
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    prepare_here(prepare_options(folder, hours=0.02, codec="mini", out=str(folder / "coded")))
    prepare_here(prepare_options(folder, hours=0.02, out=str(folder / "plain")))
    patch.undo()
    return folder


def test_a_pack_holds_what_the_corpus_holds(folder: Path, tmp_path: Path) -> None:
    pack_corpus(PackOptions(corpus=str(folder / "coded"), out=tmp_path / "pack.safetensors"))
    corpus, pack = Corpus.open(str(folder / "coded")), Pack.load(tmp_path / "pack.safetensors")
    assert (pack.codec, pack.frame_rate, dict(pack.facts)) == (corpus.codec, 50, dict(corpus.conditions))
    assert len(pack) == len(corpus) > 5
    for index, (clip, found) in enumerate(zip(corpus.clips, pack, strict=True)):
        assert (found.clip_id, found.piece) == (clip.item_id, clip.piece)
        assert (found.condition, found.split) == (clip.condition, clip.split)
        np.testing.assert_array_equal(pack.codes(index), corpus.codes(index))
        np.testing.assert_allclose(found.notes.onset, corpus.notes(index).onset, atol=1e-5)
        np.testing.assert_array_equal(found.notes.velocity, corpus.notes(index).velocity)
        assert pack.prompts_for(index).tolist() == corpus.prompts_for(index).tolist()


def test_codes_that_a_corpus_lacks_are_made_by_several_processes_as_by_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLIPS_A_TASK", 4)
    for processes in (1, 2):
        out = tmp_path / f"{processes}.safetensors"
        pack_corpus(PackOptions(corpus=str(folder / "plain"), out=out, codec="mini", processes=processes))
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()
    corpus, pack = Corpus.open(str(folder / "plain")), Pack.load(tmp_path / "1.safetensors")
    codec = load_codec(find_codec("mini")).for_inference()
    with torch.inference_mode():
        expected = codec.encode(torch.from_numpy(corpus.audio(3))[None])[0]
    np.testing.assert_array_equal(pack.clip(3).codes, expected.numpy())


def test_an_interrupted_pack_goes_on_with_the_codes_that_were_made(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = PackOptions(corpus=str(folder / "plain"), out=tmp_path / "p.safetensors", codec="mini", processes=1)
    made: list[int] = []
    encode = EncodedClips.codes

    def interrupted(self: EncodedClips, index: int) -> object:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(index)
        return encode(self, index)

    monkeypatch.setattr(EncodedClips, "codes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack_corpus(options)
    monkeypatch.undo()
    assert not options.out.exists()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert len(kept) == 3
    written: list[Path] = []

    def write(path: Path, content: bytes) -> None:
        written.append(path)
        path.write_bytes(content)

    monkeypatch.setattr("jobs.corpora.encoded_clips.replace_file", write)
    pack_corpus(options)
    assert not set(written) & set(kept)
    assert [path.name for path in tmp_path.iterdir()] == ["p.safetensors"]


def test_mistakes_are_reported_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="has no codes of one codec: give --codec"):
        pack_corpus(PackOptions(corpus=str(folder / "plain"), out=tmp_path / "pack.safetensors"))
    with pytest.raises(JobError, match="there is no folder"):
        PackOptions(corpus=str(folder / "plain"), out=tmp_path / "none" / "pack.safetensors")
    with pytest.raises(JobError, match="--processes is 0"):
        PackOptions(corpus=str(folder / "plain"), out=tmp_path / "pack.safetensors", processes=0)


def test_the_command_says_what_it_wrote(folder: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "pack.safetensors")
    result = CliRunner().invoke(midi_valle_app(), ["pack", str(folder / "coded"), "--out", out])
    assert result.exit_code == 0
    assert f"{len(Pack.load(Path(out)))} clips" in result.output
