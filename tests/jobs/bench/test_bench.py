"""``midi-valle bench`` as a user types it, and what its parts promise."""

import json

import pytest
import torch

from jobs.bench.network import random_segment
from jobs.bench.peaks import Peaks
from jobs.bench.published_way import measure_published_way, over_all_steps
from jobs.bench.settings import BenchSettings
from jobs.bench.work import Work
from jobs.errors import JobError
from renderer.codecs.encodec_codec import EncodecCodec, EncodecConfig
from renderer.device import choose_precision
from renderer.device_speed import gemm_gflops, read_gigabytes
from renderer.model.midi_valle import MidiValle, ModelConfig
from tests.jobs.cli.test_commands import command

QUICK = ("bench", "--device", "cpu", "--seconds", 0.2, "--threads", 1)


def test_a_sweep_measures_every_batch_size_in_turn_and_ends_with_one_line_of_json() -> None:
    ran = command("midi_valle", *QUICK, "--batch", "1,3", "--precision", "fp32")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("batch")] == [["batch", "1"], ["batch", "3"]]
    measured = json.loads(lines[-1])
    assert measured["threads"] == 1 and measured["precision"] == "fp32" and measured["segment_seconds"] == 0.2
    assert set(measured["peak_gflops"]) == {"fp32"} and measured["peak_gflops"]["fp32"] > 0
    assert measured["peak_read_gb"] == max(measured["read_gb_by_method"].values()) > 0
    assert [batch["batch_size"] for batch in measured["batches"]] == [1, 3]
    for batch in measured["batches"]:
        stages, audio = batch["stages"], batch["audio_seconds"]
        assert audio == pytest.approx(0.2 * batch["batch_size"])
        assert set(stages) == {"prefill", "decode", "complete", "codec"}
        assert sum(stage["seconds"] for stage in stages.values()) <= batch["wall_seconds"] + 0.01
        assert 0 < sum(stage["cpu_seconds"] for stage in stages.values()) <= batch["cpu_seconds"] + 0.01
        assert batch["occupancy"] == 1.0
        for stage in stages.values():
            least = max(
                stage["gflop"] / measured["peak_gflops"]["fp32"],
                stage["gb"] / measured["peak_read_gb"],
            )
            assert stage["roofline"] == pytest.approx(least / stage["seconds"], rel=0.05, abs=0.002)
            assert stage["gflops"] == pytest.approx(stage["gflop"] / stage["seconds"], rel=0.1)
            assert stage["ms_per_audio_second"] == pytest.approx(1000 * stage["seconds"] / audio, rel=0.01, abs=0.1)
    way = measured["published_way"]
    assert list(way["measured_step_seconds"]) == ["0", "2", "4", "7", "9"]
    last = measured["batches"][-1]
    ratio = last["audio_seconds_per_second"] / way["audio_seconds_per_second"]
    assert last["times_published"] == pytest.approx(ratio, abs=0.01)
    assert "estimated from 5 measured steps" in ran.stdout
    assert "of the roofline" in lines[-4] and lines[-2].split()[:2] == ["batch", "3"]


def test_the_published_way_can_be_left_out_and_the_precision_to_the_device() -> None:
    ran = command("midi_valle", *QUICK, "--batch", 1, "--no-published")
    measured = json.loads(ran.stdout.splitlines()[-1])
    assert measured["precision"] == choose_precision("auto", "cpu") in ran.stdout.splitlines()[0]
    assert measured["published_way"] is None and measured["batches"][0]["times_published"] is None
    assert "published way" not in ran.stdout


def test_wrong_options_are_a_message_and_exit_code_1() -> None:
    for arguments, expected in (
        (("--size", "vast"), "error: --size is 'vast'; it must be one of mini, published"),
        (("--batch", "1,two"), "error: --batch is '1,two'; give whole numbers with commas between them, as 1,4,16,64"),
        (("--threads", "-1"), "Invalid value for '--threads'"),
    ):
        ran = command("midi_valle", "bench", *arguments)
        assert ran.returncode == 1 and expected in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": "4,0"}, "every batch holds at least 1 segment"),
        ({"seconds": 29.5}, "a segment lasts 0.1 to 29 s"),
        ({"seconds": 0.0}, "a segment lasts 0.1 to 29 s"),
        ({"precision": "int3"}, "precision 'int3' is unknown"),
        ({"device": "abacus"}, "device 'abacus' is unknown"),
    ],
)
def test_settings_that_cannot_be_measured_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(JobError, match=message):
        BenchSettings(**wrong)  # type: ignore[arg-type]


def test_batch_sizes_are_read_in_the_order_given() -> None:
    assert BenchSettings(batch="4,1, 16").batch_sizes == (4, 1, 16)
    for text in ("", "4,", "1.5", "many"):
        with pytest.raises(JobError, match="--batch"):
            BenchSettings(batch=text)


def test_peaks_are_measured_by_several_methods() -> None:
    cpu = torch.device("cpu")
    assert gemm_gflops(cpu, torch.float32) > 0
    rates = read_gigabytes(cpu)
    assert len(rates) == 5 and min(rates.values()) > 0


def test_the_roofline_is_judged_by_the_best_peaks_of_all_times() -> None:
    disturbed = Peaks({"fp32": 5.0, "bf16": 40.0}, {"sum": 2.0, "largest": 1.0})
    peaks = disturbed.best_with(Peaks({"fp32": 10.0, "bf16": 30.0}, {"sum": 1.0, "largest": 4.0}))
    assert peaks == Peaks({"fp32": 10.0, "bf16": 40.0}, {"sum": 2.0, "largest": 4.0})
    assert peaks.read == 4.0
    computing, reading = Work(flops=20 * 10**9, bytes=10**9), Work(flops=10**9, bytes=20 * 10**9)
    assert peaks.roofline(computing, seconds=4.0, precision="fp32") == 0.5
    assert peaks.roofline(computing, seconds=4.0, precision="bf16") == 0.125
    assert peaks.roofline(reading, seconds=10.0, precision="fp32") == 0.5


def test_steps_between_those_measured_lie_on_a_parabola() -> None:
    cost = {step: 3.0 + 0.5 * step + 0.01 * step**2 for step in (0, 25, 50, 74, 99)}
    assert over_all_steps(cost, 100) == pytest.approx(sum(3.0 + 0.5 * s + 0.01 * s**2 for s in range(100)))


def test_a_tiny_network_goes_the_published_way() -> None:
    model = MidiValle(ModelConfig(d_model=32, heads=2, layers=2, codebook_size=16)).eval().requires_grad_(False)
    codec = EncodecCodec(EncodecConfig(n_filters=4, dimension=16, codebook_size=16)).eval()
    way = measure_published_way(model, codec, random_segment(0, 0.4, model, 50), torch.device("cpu"))
    assert way.audio_seconds == pytest.approx(0.4)
    assert list(way.measured_steps) == [0, 5, 10, 14, 19]
    together = way.decode + way.complete + way.codec
    assert min(way.complete, way.codec) > 0 and way.audio_seconds_per_second == pytest.approx(0.4 / together)
