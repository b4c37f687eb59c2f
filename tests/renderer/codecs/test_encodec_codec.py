import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import renderer.codecs.encodec_codec
from renderer.codecs.encodec_codec import EncodecCodec, EncodecConfig, PadMode, read_audiocraft_export
from renderer.errors import CheckpointError

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(FIXTURES / "codec_small.npz") as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.fixture
def export() -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(FIXTURES / "codec_small.bin", weights_only=True)
    return loaded


def codec_of(export: dict[str, Any]) -> EncodecCodec:
    config, state = read_audiocraft_export(export)
    codec = EncodecCodec(config)
    codec.load_state_dict(state)
    return codec.eval()


@pytest.mark.parametrize("folded", [False, True])
@torch.inference_mode()
def test_codec_equals_audiocraft_with_and_without_folded_weight_norm(
    export: dict[str, Any], golden: dict[str, torch.Tensor], folded: bool
) -> None:
    codec = codec_of(export)
    if folded:
        codec.for_inference()
        assert not any(key.endswith(("weight_g", "weight_v")) for key in codec.state_dict())
    latent = codec.latent(golden["audio_in"])
    torch.testing.assert_close(latent[0].T, golden["latent"], rtol=0, atol=1e-5)
    assert torch.equal(codec.encode(golden["audio_in"])[0], golden["codes"])
    assert torch.equal(codec.encode(golden["audio2_in"])[0], golden["codes2"])
    for codes, audio in (("codes", "audio_out"), ("random_codes", "random_codes_audio")):
        torch.testing.assert_close(codec.decode(golden[codes][None]), golden[audio], rtol=0, atol=1e-5)


@pytest.mark.parametrize("pad_mode", ["constant", "reflect", "replicate"])
@pytest.mark.parametrize("frames", [1, 7, 8, 40])
@torch.inference_mode()
def test_blocks_of_frames_join_to_what_the_whole_clip_gives(
    pad_mode: PadMode, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(frames)
    codec = EncodecCodec(EncodecConfig(n_filters=4, dimension=16, codebook_size=64, pad_mode=pad_mode)).for_inference()
    codes = torch.randint(64, (1, 4, frames))
    whole = codec.synthesize(codec.dequantize(codes))
    for block in (1, 7, 100):
        monkeypatch.setattr(renderer.codecs.encodec_codec, "codec_block", lambda device, block=block: block)
        torch.testing.assert_close(codec.decode(codes), whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


def test_full_size_has_the_published_keys_and_shapes() -> None:
    with torch.device("meta"):
        codec = EncodecCodec(EncodecConfig())
    ours = [(key, str(tuple(value.shape)), str(value.dtype)) for key, value in codec.state_dict().items()]
    published = [tuple(line.split("\t")) for line in (FIXTURES / "keys_codec_full.txt").read_text("utf-8").splitlines()]
    assert sorted(ours) == sorted(published)
    assert codec.frame_rate == 50


def test_export_gives_sizes_by_shape_and_the_rest_by_its_yaml(export: dict[str, Any]) -> None:
    config, state = read_audiocraft_export(export)
    assert config == EncodecConfig(n_filters=4, dimension=16, codebook_size=64, pad_mode="constant")
    assert set(state) == set(export["best_state"])
    export["xp.cfg"] = export["xp.cfg"].replace("pad_mode: constant", "pad_mode: reflect")
    assert read_audiocraft_export(export)[0].pad_mode == "reflect"
    assert read_audiocraft_export(export, pad_mode="replicate")[0].pad_mode == "replicate"


def test_training_checkpoint_and_plain_state_dict_are_read_like_an_export(export: dict[str, Any]) -> None:
    expected = read_audiocraft_export(export)[0]
    training = {"best_state": {"model": export["best_state"]}, "optimizer": {}, "xp.cfg": export["xp.cfg"]}
    assert read_audiocraft_export(training)[0] == expected
    assert read_audiocraft_export(export["best_state"])[0] == expected
    assert read_audiocraft_export(export["best_state"], pad_mode="reflect")[0].pad_mode == "reflect"


def test_pad_mode_changes_what_is_computed(export: dict[str, Any], golden: dict[str, torch.Tensor]) -> None:
    constant = codec_of(export)
    export["xp.cfg"] = export["xp.cfg"].replace("pad_mode: constant", "pad_mode: reflect")
    reflect = codec_of(export)
    with torch.inference_mode():
        assert not torch.equal(constant.decode(golden["codes"][None]), reflect.decode(golden["codes"][None]))


def without(key: str) -> Any:
    return lambda export: export["best_state"].pop(key)


def with_setting(old: str, new: str) -> Any:
    def change(export: dict[str, Any]) -> None:
        assert old in export["xp.cfg"]
        export["xp.cfg"] = export["xp.cfg"].replace(old, new)

    return change


BIAS = "decoder.model.15.conv.conv.bias"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda export: export.update(pretrained="facebook/encodec_32khz"), "pointer to the hub model"),
        (without(BIAS), f"1 missing: {BIAS}"),
        (without("encoder.model.0.conv.conv.weight_v"), "expected EnCodec's weights.*found 115 tensors"),
        (without("quantizer.vq.layers.2._codebook.embed"), "n_q = 4; .* need 3"),
        (lambda export: export["best_state"].update(extra=torch.zeros(1)), "1 unexpected: extra"),
        (lambda export: export["best_state"].update({BIAS: torch.zeros(2)}), r"\(2,\) instead of \(1,\)"),
        (lambda export: export["best_state"].update({BIAS: "text"}), f"1 other entries \\({BIAS}\\)"),
        (lambda export: export.update(best_state={}), "found nothing"),
        (lambda export: export.pop("best_state"), "found 3 other entries"),
        (lambda export: export.update({"xp.cfg": "{"}), "not YAML"),
        (with_setting("n_filters: 4", "n_filters: 8"), "seanet.n_filters = 8.*need 4"),
        (with_setting("  causal: false", "  causal: true"), "encodec.causal = True"),
        (with_setting("pad_mode: constant", "pad_mode: mirror"), "pad_mode 'mirror' is unknown"),
        (with_setting("sample_rate: 32000", "sample_rate: 44100"), "whole number of frames at 44100 Hz"),
    ],
)
def test_wrong_files_are_refused_with_what_was_expected_and_found(
    export: dict[str, Any], damage: Any, message: str
) -> None:
    damage(export)
    with pytest.raises(CheckpointError, match=message):
        read_audiocraft_export(export)


@pytest.mark.parametrize(
    "torchaudio", ["raise OSError('libc10_cuda.so')", "raise ImportError('none')", "present = True"]
)
def test_encodec_is_importable_whatever_becomes_of_torchaudio(tmp_path: Path, torchaudio: str) -> None:
    (tmp_path / "torchaudio.py").write_text(torchaudio, "utf-8")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import renderer.codecs.encodec_import\n"
        "print(hasattr(sys.modules.get('torchaudio'), 'present'), 'torchaudio' in sys.modules)"
    )
    project = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, text=True)
    present = "present" in torchaudio
    assert done.stdout.split() == [str(present), str(present)], done.stderr
