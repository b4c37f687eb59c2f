"""Published-style files with random weights, read, refused and imported."""

import json
import os
import pickle
import re
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from renderer.errors import CheckpointError
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.weights.checkpoint import describe, load_codec, load_model
from renderer.weights.published import cache_directory, find_or_download, published_directory
from renderer.weights.published_import import import_published, read_language_model
from renderer.weights.weight_files import read_weights

FIXTURES = Path(__file__).parents[2] / "fixtures"
CODEC_FILE = FIXTURES / "codec_small.bin"
SMALL = ModelConfig(d_model=64, heads=4, layers=2, codebooks=4, codebook_size=64)
TIES = {
    "nar_predict_layers.0.weight": "nar_audio_embeddings.2.word_embeddings.weight",
    "nar_predict_layers.1.weight": "nar_audio_embeddings.3.word_embeddings.weight",
}

State = dict[str, torch.Tensor]


def published_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The published list of keys, cut down to what a published file of these sizes would hold."""
    shapes = {}
    for line in (FIXTURES / "keys_published.txt").read_text().splitlines():
        name, shape, _ = line.split("\t")
        layer = re.search(r"layers\.(\d+)\.(self_attn|linear|norm)", name)
        if layer is not None and int(layer[1]) >= config.layers:
            continue
        sizes = [int(size) for size in re.findall(r"\d+", shape)]
        if not name.startswith("feat_emb"):
            books = name.startswith(("ar_audio_emb", "nar_audio_emb", "ar_predict", "nar_predict"))
            sizes = [_smaller(size, index, books, config) for index, size in enumerate(sizes)]
        shapes[name] = tuple(sizes)
    return shapes


def _smaller(size: int, dimension: int, is_codebook: bool, config: ModelConfig) -> int:
    if is_codebook and dimension == 0:
        return size - 2048 + config.codebook_size
    return size * config.d_model // 1024 if size % 1024 == 0 else size


@pytest.fixture
def state() -> State:
    """Random weights under the published names; tied ones are one tensor, as a published file has them."""
    generator = np.random.RandomState(3)
    shapes = published_shapes(SMALL)
    state = {
        name: torch.from_numpy(generator.standard_normal(shapes[name]).astype(np.float32)) for name in sorted(shapes)
    }
    for name, tied in TIES.items():
        state[name] = state[tied]
    return state


@pytest.fixture
def model_file(state: State, tmp_path: Path) -> Path:
    torch.save(state, tmp_path / "best-valid-loss.pt")
    return tmp_path / "best-valid-loss.pt"


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_language_model(path, heads=4)
    assert str(path) in str(caught.value)
    return str(caught.value)


def assert_equal(found: State, expected: State) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_a_model_of_published_size_has_exactly_the_published_keys() -> None:
    with torch.device("meta"):
        state = MidiValle(ModelConfig()).state_dict()
    lines = {f"{name}\t{tuple(tensor.shape)}\t{tensor.dtype}" for name, tensor in state.items()}
    assert lines == set((FIXTURES / "keys_published.txt").read_text().splitlines())
    assert len(lines) == 368


def test_sizes_are_read_from_the_shapes(model_file: Path, state: State) -> None:
    config, found = read_language_model(model_file, heads=4)
    assert config == SMALL
    assert_equal(found, state)


def test_heads_are_64_wide_unless_given(model_file: Path) -> None:
    assert read_language_model(model_file)[0] == replace(SMALL, heads=1)


def test_a_training_checkpoint_holds_the_state_dict_under_model(state: State, tmp_path: Path) -> None:
    path = tmp_path / "epoch-20.pt"
    optimizer = {"state": {0: {"step": 3, "delta": torch.ones(2)}}, "param_groups": [{"lr": 0.05}]}
    checkpoint = {"model": state, "optimizer": optimizer, "best_valid_loss": float("inf")}
    # The published trainer stores its options too, paths among them.
    torch.save({**checkpoint, "exp_dir": Path("exp/midi-valle"), "sampler": {"epoch": 2}}, path)
    config, found = read_language_model(path, heads=4)
    assert config == SMALL
    assert_equal(found, state)


def test_the_format_is_known_from_the_content_not_from_the_name(state: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    save_file({name: tensor.clone() for name, tensor in state.items()}, path)
    assert_equal(read_language_model(path, heads=4)[1], state)


def test_the_old_pytorch_format_is_read(state: State, tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert_equal(read_language_model(path, heads=4)[1], state)


class Exploit:
    """Unpickling this would make a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_refused_and_never_runs(state: State, tmp_path: Path, zipped: bool) -> None:
    trace, path = tmp_path / "trace", tmp_path / "evil.pt"
    torch.save({"model": state, "extra": Exploit(trace)}, path, _use_new_zipfile_serialization=zipped)
    message = refusal(path)
    assert "Python objects beside tensors" in message
    assert not zipped or "(posix.mkdir)" in message
    assert not trace.exists()


def test_a_plain_pickle_with_code_is_refused_and_never_runs(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(Exploit(trace), protocol=2))
    refusal(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists()  # So the file was harmful, and only the reader kept it from acting.


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", r"\(0 bytes\): expected .*, found an empty file"),
        (b"<!DOCTYPE html><html>Sign in</html>", "a web page"),
        (b"\n  <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1484\n", "Git LFS pointer"),
        (b'{"status": 429, "message": "Too Many Requests"}', "JSON text"),
        (b"\x1f\x8b\x08\x00rest of it", "gzip archive: unpack it first"),
        (b"RIFF....WAVE", "starts with b'RIFF"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "best-valid-loss.pt"
    path.write_bytes(content)
    assert re.search(found, refusal(path))


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.001])
def test_a_truncated_file_is_called_truncated(model_file: Path, kept: float) -> None:
    whole = model_file.read_bytes()
    model_file.write_bytes(whole[: int(len(whole) * kept)])
    message = refusal(model_file)
    assert "truncated" in message and f"({int(len(whole) * kept)} bytes)" in message


def test_a_truncated_safetensors_file_is_called_truncated(state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({name: tensor.clone() for name, tensor in state.items()}, path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "truncated or damaged safetensors" in refusal(path)


def test_a_single_wrong_byte_is_noticed(model_file: Path) -> None:
    damaged = bytearray(model_file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    model_file.write_bytes(damaged)
    assert "damaged PyTorch file (wrong checksum" in refusal(model_file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "absent.pt")


def test_a_missing_key_is_named(state: State, tmp_path: Path) -> None:
    del state["nar_decoder.layers.1.norm2.project_layer.bias"]
    torch.save(state, tmp_path / "m.pt")
    assert "1 missing: nar_decoder.layers.1.norm2.project_layer.bias" in refusal(tmp_path / "m.pt")


def test_an_unknown_key_is_named(state: State, tmp_path: Path) -> None:
    torch.save({**state, "ar_text_prenet.0.weight": torch.ones(1)}, tmp_path / "m.pt")
    assert "1 unknown: ar_text_prenet.0.weight" in refusal(tmp_path / "m.pt")


def test_a_wrong_shape_is_named_with_the_right_one(state: State, tmp_path: Path) -> None:
    state["feat_emb.5.word_embeddings.weight"] = torch.ones(16, 32)
    torch.save(state, tmp_path / "m.pt")
    message = refusal(tmp_path / "m.pt")
    assert "feat_emb.5.word_embeddings.weight (16, 32) instead of (20, 32)" in message


def test_tied_tensors_that_differ_are_refused(state: State, tmp_path: Path) -> None:
    state["nar_predict_layers.1.weight"] = state["nar_predict_layers.1.weight"] + 1
    torch.save(state, tmp_path / "m.pt")
    message = refusal(tmp_path / "m.pt")
    assert all(name in message for name in list(TIES.items())[1])


def test_values_that_are_no_numbers_are_refused(state: State, tmp_path: Path) -> None:
    state["ar_predict_layer.weight"][3, 5] = float("nan")
    torch.save(state, tmp_path / "m.pt")
    assert "ar_predict_layer.weight holds values that are infinite or not numbers" in refusal(tmp_path / "m.pt")
    state["ar_predict_layer.weight"] = torch.ones(65, 64, dtype=torch.int32)
    torch.save(state, tmp_path / "m.pt")
    assert "ar_predict_layer.weight should hold floating-point numbers" in refusal(tmp_path / "m.pt")


@pytest.mark.parametrize("content", [{}, {"weights": 3}, [1, 2], {"model": {"a": torch.ones(1)}}])
def test_a_file_of_something_else_says_what_was_expected(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "m.pt")
    assert "expected the state dict of a MIDI-VALLE language model" in refusal(tmp_path / "m.pt")


def test_swapped_files_are_refused_by_name(model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"codec_small\.bin: expected the state dict of a MIDI-VALLE"):
        import_published(CODEC_FILE, model_file, tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"best-valid-loss\.pt: expected EnCodec"):
        import_published(model_file, model_file, tmp_path / "out", heads=4)


def test_an_import_is_a_model_directory_with_equal_weights(model_file: Path, state: State, tmp_path: Path) -> None:
    out = tmp_path / "models" / "mine"
    import_published(model_file, CODEC_FILE, out, heads=4)
    assert sorted(path.name for path in out.iterdir()) == [
        "LICENSE",
        "card.json",
        "codec.safetensors",
        "config.json",
        "model.safetensors",
    ]
    assert_equal(load_file(out / "model.safetensors"), state)
    exported = torch.load(CODEC_FILE, weights_only=True)["best_state"]
    assert_equal(load_file(out / "codec.safetensors"), dict(exported))
    description = describe(out)
    assert (description.name, description.sample_rate, description.frame_rate) == ("midi-valle", 32000, 50)
    assert (description.pedal, description.time_grid) == ("ignore", "published")
    assert description.max_segment_seconds == 15.0
    assert description.model == SMALL
    assert "non-commercial" in description.licence
    assert "CC BY-NC-SA 4.0" in (out / "LICENSE").read_text()
    card = json.loads((out / "card.json").read_text())
    assert card["parameters"]["language_model"] == sum(t.numel() for n, t in state.items() if n not in TIES)
    assert [file["name"] for file in card["files"]] == ["best-valid-loss.pt", "codec_small.bin"]
    assert [path.name for path in out.parent.iterdir()] == ["mine"]
    assert len({path.stat().st_mode for path in out.iterdir()}) == 1


def test_an_imported_directory_loads_into_both_networks(model_file: Path, state: State, tmp_path: Path) -> None:
    import_published(model_file, CODEC_FILE, tmp_path / "out", heads=4)
    description = describe(tmp_path / "out")
    assert_equal(dict(load_model(description).state_dict()), state)
    arrays = np.load(FIXTURES / "codec_small.npz")
    codes = load_codec(description).encode(torch.from_numpy(arrays["audio_in"]).reshape(1, -1))
    assert torch.equal(codes[0], torch.from_numpy(arrays["codes"]).long().reshape(4, -1))


def test_files_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(MidiValle(replace(SMALL, codebook_size=32)).state_dict(), tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"4 codebooks of 32, the codec 4 of 64"):
        import_published(tmp_path / "m.pt", CODEC_FILE, tmp_path / "out", heads=4)
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_never_overwritten(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(CheckpointError, match="out exists already"):
        import_published(model_file, CODEC_FILE, out, heads=4)
    assert (out / "mine.txt").read_text() == "keep"


def test_an_import_that_fails_while_writing_leaves_nothing(model_file: Path, tmp_path: Path) -> None:
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))  # As if the disk were full.
    try:
        with pytest.raises(CheckpointError, match=r"Cannot write .*models/out: .*File too large"):
            import_published(model_file, CODEC_FILE, tmp_path / "models" / "out", heads=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert list((tmp_path / "models").iterdir()) == []


def test_given_files_are_imported_once_under_a_name_from_their_content(model_file: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    cache = tmp_path / "cache"
    first = published_directory(cache, model_file, CODEC_FILE, announce=messages.append)
    assert describe(first).model == replace(SMALL, heads=1)
    assert first.parent == cache and "CC BY-NC-SA 4.0" in messages[0]
    messages.clear()
    renamed = model_file.rename(tmp_path / "renamed.pt")
    assert published_directory(cache, renamed, CODEC_FILE, announce=messages.append) == first
    assert messages == []
    other = {name: tensor + 1 for name, tensor in read_language_model(renamed)[1].items()}
    torch.save(other, renamed)
    assert published_directory(cache, renamed, CODEC_FILE) != first


def test_files_in_the_cache_are_imported_without_network(model_file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    model_file.rename(cache / "best-valid-loss.pt")
    (cache / "compression_32khz_new.bin").write_bytes(CODEC_FILE.read_bytes())
    (cache / "LICENSE").write_text("The publisher's licence")
    directory = published_directory(cache)
    assert (directory / "LICENSE.zenodo").read_text() == "The publisher's licence"
    (cache / "best-valid-loss.pt").unlink()
    assert published_directory(cache) == directory


def test_one_file_without_the_other_is_refused(model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--codec-file is missing"):
        published_directory(tmp_path, model_file=model_file)
    with pytest.raises(CheckpointError, match="--model-file is missing"):
        published_directory(tmp_path, codec_file=CODEC_FILE)


def test_the_cache_follows_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/cache")
    assert cache_directory() == Path("/some/cache/render-corpus/midi-valle")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_directory() == Path.home() / ".cache" / "render-corpus" / "midi-valle"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_directory() == Path.home() / "Library" / "Caches" / "render-corpus" / "midi-valle"


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"Cannot write to the cache folder .*file"):
        find_or_download(tmp_path / "file" / "cache")


def test_paths_are_let_through_but_nothing_else(tmp_path: Path) -> None:
    torch.save({"where": Path("a/b")}, tmp_path / "paths.pt")
    assert read_weights(tmp_path / "paths.pt", "anything") == {"where": Path("a/b")}
    torch.save({"pattern": re.compile("a")}, tmp_path / "others.pt")
    with pytest.raises(CheckpointError, match=r"Python objects beside tensors \(re\._compile\)"):
        read_weights(tmp_path / "others.pt", "anything")
