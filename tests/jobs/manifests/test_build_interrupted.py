import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from renderer.midi.midi_file import midi_bytes
from tests.jobs.manifests.midi_folder import melody


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_interrupted_build_leaves_nothing_and_can_be_done_again(
    tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "000.mid").write_bytes(midi_bytes(melody(1, 4000)))
    for number in range(1, 3000):
        os.link(tmp_path / "in" / "000.mid", tmp_path / "in" / f"{number:03d}.mid")
    words = [sys.executable, "-c", "from jobs.cli.commands import midi_valle; midi_valle()", "manifest", "build", "in"]
    words += ["--prompt", "x", "--processes", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    running = subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    time.sleep(5)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    assert len(children) >= 2
    running.send_signal(sent)
    output = running.communicate(timeout=60)[1]
    assert running.returncode == code and "Traceback" not in output
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}/cmdline").exists() for child in children):
        assert time.monotonic() < deadline, "its processes go on"
        time.sleep(0.1)
    for path in sorted((tmp_path / "in").iterdir())[3:]:
        path.unlink()
    subprocess.run(words, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "manifest.parquet").is_file()
