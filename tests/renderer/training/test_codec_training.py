import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from renderer.audio.audio_file import FloatSamples
from renderer.codecs.encodec_codec import EncodecCodec, EncodecConfig, read_audiocraft_export
from renderer.codecs.neural_codec import NeuralCodec
from renderer.codecs.sinusoidal_codec import SinusoidalCodec, SinusoidalCodecConfig
from renderer.errors import TrainingError
from renderer.midi.notes import Notes
from renderer.training.adversary import AdversarySettings
from renderer.training.checkpoints import Checkpoints
from renderer.training.codebook_training import CodebookTraining
from renderer.training.codec_training import CodecTraining, CodecTrainingSettings
from renderer.training.codec_validation import CodecValidation
from renderer.training.codec_writing import write_codec
from renderer.training.crops import Crops, CropSettings
from renderer.training.gradient_balance import GradientBalance
from renderer.training.learning_rate import LearningRate
from renderer.training.note_loss import struck_and_sounding
from renderer.training.randomness import seed_torch
from renderer.training.spectral_loss import RESOLUTIONS, SpectralLoss
from renderer.training.team import Team
from renderer.weights.checkpoint import find_codec, load_codec
from renderer.weights.weight_files import read_weights
from tests.renderer.tones import melody, played

FIXTURES = Path(__file__).parents[2] / "fixtures"
SMALL = SinusoidalCodecConfig(
    encoder_width=48, encoder_blocks=1, decoder_width=48, decoder_blocks=1, fine_blocks=1, latent=16, codebook_size=32
)
SECONDS = 3.0


class Recordings:
    def __init__(self, count: int, sample_rate: int = 32000) -> None:
        self.recordings = [played(melody(seed, SECONDS), SECONDS, sample_rate) for seed in range(count)]

    def audio(self, index: int, start: int = 0, samples: int | None = None) -> FloatSamples:
        return self.recordings[index][start : None if samples is None else start + samples]

    def notes(self, index: int) -> Notes:
        return melody(index, SECONDS)


def crops_of(
    count: int = 4, frames: int = 25, sample_rate: int = 32000, frame_samples: int = 640, seed: int = 0
) -> Crops:
    source = Recordings(count, sample_rate)
    lengths = [len(recording) for recording in source.recordings]
    return Crops(source, lengths, range(count), CropSettings(frames, frame_samples, sample_rate), seed)


def small_codec() -> SinusoidalCodec:
    seed_torch(0, "codec")
    codec = SinusoidalCodec(SMALL)
    codec.decoder.begin_quietly()
    return codec


def training_of(codec: NeuralCodec, steps: int = 8, **settings: object) -> CodecTraining:
    rate = LearningRate(2e-3, 2, steps, "constant")
    chosen = {"batch": 4, "unquantized": 2, "precision": "fp32", **settings}
    return CodecTraining(codec, crops_of(), CodecTrainingSettings(rate, **chosen), Team())  # type: ignore[arg-type]


def weights_of(training: CodecTraining) -> list[torch.Tensor]:
    return [*training.codec.state_dict().values(), *training.average.weights.values(), *training.codebooks.sums]


def test_training_brings_the_loss_down_and_uses_the_codebooks() -> None:
    training = training_of(small_codec(), steps=60, unquantized=20, batch=8)
    validation = CodecValidation(crops_of(8, seed=1), 8)
    before = validation.figures(training.codec)
    for step in range(60):
        figures = training.step(step)
    after = validation.figures(training.codec)
    assert after["valid_spectral"] < 0.75 * before["valid_spectral"]
    assert after["valid_distortion"] < before["valid_distortion"]
    assert after["perplexity_0"] > 5
    assert figures["commitment"] > 0


def test_a_resumed_training_goes_the_way_of_an_undisturbed_one(tmp_path: Path) -> None:
    adversary = AdversarySettings(begin=4, filters=2, windows=(256,))
    whole = training_of(small_codec(), adversary=adversary)
    curve = [whole.step(step) for step in range(8)]

    first = training_of(small_codec(), adversary=adversary)
    for step in range(5):
        first.step(step)
    Checkpoints(tmp_path, {}, first.parts).save(5)

    second = training_of(small_codec(), adversary=adversary)
    assert Checkpoints(tmp_path, {}, second.parts).restore() == 5
    assert [second.step(step) for step in range(5, 8)] == curve[5:]
    for ours, theirs in zip(weights_of(second), weights_of(whole), strict=True):
        assert torch.equal(ours, theirs)


def test_a_resume_right_before_the_codebooks_begin_begins_them_alike(tmp_path: Path) -> None:
    whole, first, second = (training_of(small_codec()) for _ in range(3))
    curve = [whole.step(step) for step in range(4)]
    for step in range(2):
        first.step(step)
    Checkpoints(tmp_path, {}, first.parts).save(2)
    Checkpoints(tmp_path, {}, second.parts).restore()
    assert [second.step(step) for step in (2, 3)] == curve[2:]


def test_the_adversary_takes_part_from_its_step_on() -> None:
    training = training_of(small_codec(), adversary=AdversarySettings(begin=3, filters=2, windows=(512, 128)))
    curve = [training.step(step) for step in range(5)]
    assert ["adversary" in figures for figures in curve] == [False, False, False, True, True]
    assert curve[3]["adversary"] == pytest.approx(2.0, abs=0.6)  # The hinge loss of what knows nothing yet.
    assert {"adversarial", "features", "spectral"} <= curve[4].keys()


def test_an_adversary_learns_to_tell_noise_from_tones() -> None:
    torch.manual_seed(0)
    from renderer.training.adversary import Adversary

    adversary = Adversary(AdversarySettings(0, filters=4, windows=(512, 256), rate=2e-3), torch.device("cpu"), Team())
    tones = torch.from_numpy(np.stack([played(melody(seed, 1.0), 1.0)[3200:11200] for seed in range(4)]))
    noise = torch.randn(4, 8000) * tones.std()
    losses = [adversary.learn(noise, tones) for _ in range(25)]
    assert losses[0] > 1.8 and losses[-1] < 0.85 * losses[0]
    noise.requires_grad_()
    of_noise = adversary.losses(noise, tones)
    of_noise["adversarial"].backward(retain_graph=True)
    assert noise.grad is not None and noise.grad.abs().sum() > 0
    assert all(parameter.grad is None or not parameter.requires_grad for parameter in adversary.network.parameters())
    assert float(adversary.losses(tones, tones)["features"]) == 0.0


def test_a_spectral_loss_is_nothing_between_equals_and_falls_with_the_distance() -> None:
    loss = SpectralLoss(32000)
    tones = torch.from_numpy(played(melody(0, 1.0), 1.0))[None]
    for resolution in range(len(RESOLUTIONS)):
        assert float(loss(tones, tones, resolution)) == pytest.approx(0.0, abs=1e-3)
        near, far = (float(loss(tones + level * torch.randn_like(tones), tones, resolution)) for level in (1e-4, 1e-1))
        silent = float(loss(torch.zeros_like(tones), tones, resolution))
        assert 0 < near < far and silent > near
        # A phase is not heard.
        assert float(loss(-tones, tones, resolution)) == pytest.approx(0.0, abs=1e-3)


def test_codebooks_find_the_clusters_and_replace_rows_that_nothing_chooses() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(8, 4, generator=generator) * 5
    far_away = torch.full((24, 4), 1000.0)
    books = CodebookTraining([far_away, torch.zeros(24, 4)], decay=0.8, least_use=0.05, team=Team())
    for _ in range(60):
        latent = centres[torch.randint(8, (64,), generator=generator)]
        latent = (latent + 0.01 * torch.randn(64, 4, generator=generator))[None]
        quantized, distances = books.quantize(latent, torch.tensor([2]), generator)
    assert float(distances[-1]) < 0.01
    nearest = torch.cdist(centres, books.tables[0]).min(dim=1).values
    assert float(nearest.max()) < 0.1
    assert torch.allclose(quantized, latent, atol=0.2)


def test_fewer_codebooks_make_a_coarser_sound_and_gradients_pass_through() -> None:
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(2, 200, 4, generator=generator).requires_grad_()
    books = CodebookTraining([torch.zeros(16, 4) for _ in range(3)], 0.99, 0.02, Team())
    books.initialise(latent.detach().flatten(0, 1), generator)
    errors = []
    for depth in (1, 2, 3):
        quantized, distances = books.quantize(latent, torch.tensor([depth, depth]), None)
        errors.append(float(distances[-1].detach()))
    assert errors[0] > errors[1] > errors[2] > 0
    quantized.sum().backward()
    assert latent.grad is not None and torch.equal(latent.grad, torch.ones_like(latent))


def test_a_balance_gives_each_loss_its_share_whatever_its_scale() -> None:
    balance = GradientBalance({"small": 1.0, "large": 3.0})
    parameter = torch.zeros(10, requires_grad=True)
    output = parameter * 1.0
    left, right = torch.zeros(10), torch.zeros(10)
    left[:5], right[5:] = 1e-6, 1e6
    balance.backward({"small": (output * left).sum(), "large": (output * right).sum()}, output)
    assert parameter.grad is not None
    assert parameter.grad[:5].norm() == pytest.approx(0.25, rel=1e-4)
    assert parameter.grad[5:].norm() == pytest.approx(0.75, rel=1e-4)


def test_crops_are_the_same_again_and_each_place_comes_once_before_any_again() -> None:
    crops = crops_of(3)
    audio = [crops.crop(number).audio for number in range(20)]
    assert np.array_equal(audio[7], crops_of(3).crop(7).audio)
    assert not np.array_equal(audio[7], audio[8])
    assert all(len(samples) == 16000 and np.abs(samples).max() <= 1 for samples in audio)
    with pytest.raises(TrainingError, match="none has the 9600000 samples"):
        crops_of(2, frames=15_000)


def test_what_latents_are_asked_is_which_keys_are_struck_and_sound_in_each_frame() -> None:
    notes = Notes.of(np.array([0.01, 0.5]), np.array([0.12, 8.51]), np.array([21, 108]), np.array([60, 60]))
    roll = struck_and_sounding(notes, 30, 50)
    struck, sounding = roll[:, 0], roll[:, 1]
    assert np.argwhere(struck).tolist() == [[0, 0], [25, 87]]
    assert np.flatnonzero(sounding[:, 0]).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(sounding[:, 87]).tolist() == [25, 26, 27, 28, 29]
    assert roll.sum() == 2 + 6 + 5


class Ramp(Recordings):
    """Recordings that rise from nothing to 1, so that a part shows where it was cut."""

    def __init__(self) -> None:
        super().__init__(1)
        self.recordings = [(np.arange(1, 96001) / 96000).astype(np.float32)]


def test_a_crop_has_its_notes_and_those_struck_shortly_before_it() -> None:
    crops, whole = Crops(Ramp(), [96000], [0], CropSettings(25, 640, 32000), 0), melody(0, SECONDS)
    for number in range(8):
        crop = crops.crop(number)
        slope = (crop.audio[-1] - crop.audio[0]) / (len(crop.audio) - 1)
        begin = float(crop.audio[0] / slope - 1) / 32000
        heard = whole.selected((whole.offset > begin - 2) & (whole.onset < begin + 0.5))
        assert crop.notes.pitch.tolist() == heard.pitch.tolist()
        assert np.allclose(crop.notes.onset, heard.onset - begin, atol=1e-3)


def test_the_latents_learn_to_tell_the_notes() -> None:
    training = training_of(small_codec(), steps=40, unquantized=40, batch=8, notes=1.0)
    curve = [training.step(step)["notes"] for step in range(40)]
    assert np.mean(curve[-5:]) < 0.2 * curve[0]


def test_a_note_conditioned_decoder_learns_to_play_them() -> None:
    training = training_of(small_codec(), steps=200, unquantized=5, shallow=1.0)
    for step in range(200):
        training.step(step)
    codec, notes = training.codec.eval(), melody(0, SECONDS)
    audio = torch.from_numpy(played(notes, SECONDS))[None]
    loss, latent = SpectralLoss(32000), codec.dequantize(codec.encode(audio))
    with torch.no_grad():
        rightly, without, wrongly = (
            float(loss(codec.synthesize(latent, notes=[of_clip])[:, : audio.shape[1]], audio, 1))
            for of_clip in (notes, None, melody(3, SECONDS))
        )
    assert rightly < 0.85 * without and rightly < 0.85 * wrongly


def test_with_its_codes_kept_a_codec_learns_to_decode_them_alone() -> None:
    codec = small_codec()
    audio = torch.from_numpy(played(melody(0, 1.0), 1.0))[None]
    before, codes = {n: v.clone() for n, v in codec.state_dict().items()}, codec.encode(audio)
    settings = CodecTrainingSettings(LearningRate(2e-3, 1, 3), batch=4, precision="fp32", keep_codes=True)
    training = CodecTraining(codec, crops_of(), settings, Team(), from_codec=True)
    figures = [training.step(step) for step in range(3)]
    changed = {name for name, value in codec.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("decoder.") for name in changed)
    assert torch.equal(codec.encode(audio), codes)
    assert "notes" not in figures[0] and "commitment" not in figures[0]


def test_a_written_codec_is_found_and_sounds_as_it_did_before_but_for_rounding(tmp_path: Path) -> None:
    codec = small_codec().for_inference()
    write_codec(tmp_path / "codec", "tiny", SMALL, codec.state_dict(), {"licence": "none"})
    read = load_codec(find_codec(str(tmp_path / "codec"))).for_inference()
    audio = torch.from_numpy(played(melody(0, 1.0), 1.0))[None]
    codes = codec.encode(audio)
    assert read.encode(audio).shape == codes.shape
    theirs, ours = codec.decode(codes), read.decode(codes)
    assert (ours - theirs).norm() < 0.02 * theirs.norm()


def check_that_training_on_keeps_the_codebooks(weights: dict[str, torch.Tensor], codebooks: int) -> None:
    """As audiocraft's EuclideanCodebook goes on: k-means unless inited, else the smoothed moving averages."""
    for book in range(codebooks):
        of = {name: weights[f"quantizer.vq.layers.{book}._codebook.{name}"] for name in ("embed", "embed_avg")}
        size, inited = (weights[f"quantizer.vq.layers.{book}._codebook.{name}"] for name in ("cluster_size", "inited"))
        assert inited.item() == 1 and (size > 0).all() and len(size.unique()) > 1
        smoothed = (size + 1e-5) / (size.sum() + len(size) * 1e-5) * size.sum()
        torch.testing.assert_close(of["embed_avg"] / smoothed[:, None], of["embed"], rtol=1e-2, atol=1e-3)


def check_that_audiocraft_builds(document: str, config: EncodecConfig) -> None:
    """What audiocraft's ``get_compression_model`` takes from the file's settings, read in its way."""
    settings = yaml.safe_load(document)
    assert settings["compression_model"] == "encodec"
    model = dict(settings["encodec"])
    autoencoder = dict(settings[model.pop("autoencoder")])
    quantizer = settings[model.pop("quantizer")]
    encoder, decoder = autoencoder.pop("encoder"), autoencoder.pop("decoder")
    assert encoder == {} and set(decoder) == {"trim_right_ratio", "final_activation", "final_activation_params"}
    frame_rate = model["sample_rate"] // math.prod(autoencoder["ratios"])
    assert frame_rate == config.frame_rate and model.pop("renormalize") is False
    # The rest are EncodecModel's own arguments.
    assert model == {"sample_rate": config.sample_rate, "channels": 1, "causal": False}
    assert quantizer == {"n_q": config.codebooks, "q_dropout": False, "bins": config.codebook_size}


def test_codebooks_that_nothing_is_known_of_are_reported_as_they_are(tmp_path: Path) -> None:
    config, state = read_audiocraft_export(read_weights(FIXTURES / "codec_small.bin", "an EnCodec"))
    for name in state:
        if name.endswith(("cluster_size", "embed_avg", "inited")):
            state[name] = torch.zeros_like(state[name])
    write_codec(tmp_path / "codec", "codec", config, state, {})
    _, weights = read_audiocraft_export(read_weights(tmp_path / "codec" / "audiocraft.bin", "an EnCodec"))
    book = "quantizer.vq.layers.0._codebook."
    assert torch.equal(weights[f"{book}embed_avg"], state[f"{book}embed"]) and weights[f"{book}inited"].item() == 1


def test_an_encodec_is_fine_tuned_and_its_export_is_audiocrafts(tmp_path: Path) -> None:
    config, state = read_audiocraft_export(read_weights(FIXTURES / "codec_small.bin", "an EnCodec"))
    codec = EncodecCodec(config)
    codec.load_state_dict(state)
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    crops = crops_of(4, config.sample_rate // 2 // codec.frame_samples, config.sample_rate, codec.frame_samples)
    settings = CodecTrainingSettings(
        LearningRate(3e-4, 1, 4), batch=2, precision="fp32", waveform=0.1, average_decay=0.5
    )
    training = CodecTraining(codec, crops, settings, Team(), from_codec=True)
    for step in range(4):
        training.step(step)
    changed = [name for name, value in codec.state_dict().items() if not torch.equal(value, before[name])]
    assert any(name.startswith("encoder") for name in changed)
    assert any(name.startswith("decoder") for name in changed)
    assert any(name.endswith("_codebook.embed") for name in changed)

    write_codec(tmp_path / "tuned", "tuned", config, codec.state_dict(), {}, training.codebooks.counts)
    exported = read_weights(tmp_path / "tuned" / "audiocraft.bin", "an EnCodec")
    again, weights = read_audiocraft_export(exported)
    assert again == config
    assert set(weights) == set(state)
    averages = ("cluster_size", "embed_avg", "inited")
    for name, value in codec.state_dict().items():
        assert name.endswith(averages) or torch.equal(weights[name], value)
    check_that_training_on_keeps_the_codebooks(weights, config.codebooks)
    check_that_audiocraft_builds(str(exported["xp.cfg"]), config)
    assert load_codec(find_codec(str(tmp_path / "tuned"))).sample_rate == config.sample_rate


def test_bf16_trains_as_well() -> None:
    training = training_of(small_codec(), precision="bf16")
    curve = [training.step(step)["spectral"] for step in range(6)]
    assert all(np.isfinite(curve))
