"""The page of a bank, and what is said of each of its prompts."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.prompts.page import SCRIPT
from tests.jobs.prompts.recordings import RATE, sound, write

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good prompt, one that is late, one without its file, one whose id the model has."""
    folder = tmp_path_factory.mktemp("bank")
    samples, notes = sound(1, 4.0)
    write(folder / "good.wav", samples[: 3 * RATE], notes)
    write(folder / "late.wav", np.concatenate([np.zeros(RATE, np.float32), samples])[: 3 * RATE], notes)
    table = {
        "prompt_id": [HOSTILE, "late", "lost", "splendid-close"],
        "audio": ["good.wav", "late.wav", "none.wav", "good.wav"],
        "midi": ["good.mid", "late.mid", "good.mid", "good.mid"],
        "licence": [f"</article>{HOSTILE}", None, None, None],
        "source": [f"javascript:{HOSTILE}", None, None, None],
        "transcriber": [f"ear{HOSTILE}", None, None, None],
    }
    pq.write_table(pa.table(table), folder / "bank.parquet")
    return folder / "bank.parquet"


class Page(HTMLParser):
    """A page's tags with their attributes, its visible text, and its scripts."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts, self._inside = "", list[str](), ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def shown(*arguments: object) -> Page:
    ran = CliRunner().invoke(midi_valle_app(), ["prompts", "show", *map(str, arguments)])
    assert ran.exit_code == 0, ran.output
    out = Path(str(arguments[arguments.index("--out") + 1]))
    return Page(out.read_text("utf-8"))


def test_the_page_of_a_bank_shows_everything_as_text_and_loads_nothing(bank: Path, tmp_path: Path) -> None:
    page = shown(bank, "--out", tmp_path / "page.html")
    for text in (HOSTILE, f"</article>{HOSTILE}", f"javascript:{HOSTILE}", f"heard by ear{HOSTILE}"):
        assert text in page.text
    assert page.scripts == [SCRIPT]
    assert page.all("img") == page.all("a") == page.all("link") == page.all("iframe") == []
    addresses = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert len(addresses) == 2
    assert {str(address).partition(",")[0] for address in addresses} == {
        "data:audio/flac;base64",
        "data:image/png;base64",
    }
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert len(page.all("article")) == 4
    assert re.search(r"refused: its audio is (1\.0|0\.9)\d s late against its MIDI", page.text)
    assert "refused: mini comes with a prompt of this id; rename it" in page.text
    assert re.search(r"-\d+\.\d dBFS \(RMS\), peak -\d+\.\d dBFS", page.text)


def test_the_prompts_of_a_model_have_a_page(tmp_path: Path) -> None:
    page = shown("--out", tmp_path / "page.html")
    assert len(page.all("audio")) == len(page.all("svg")) == 4
    assert "splendid-chamber" in page.text
    assert "CC BY 4.0" in page.text
    few = shown("--out", tmp_path / "few.html", "--most", 1)
    assert len(few.all("article")) == 1
    assert "The first 1 of 4 prompts" in few.text


def test_a_check_says_a_line_of_each_prompt_and_ends_with_1_if_one_is_refused(bank: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(midi_valle_app(), ["prompts", "check", str(bank)])
    assert ran.exit_code == 1
    good, late, lost, taken = ran.stdout.splitlines()
    assert re.fullmatch(rf"{re.escape(HOSTILE)}: good: \d+ notes, -\d+ dBFS, peak -\d+, noise -\d+ at most; .*", good)
    assert re.match(r"late: refused: its audio is (1\.0|0\.9)\d s late against its MIDI", late)
    assert re.match(r"lost: refused: .*none\.wav", lost)
    assert taken == "splendid-close: refused: mini comes with a prompt of this id; rename it"


def test_the_prompts_of_a_model_are_good() -> None:
    ran = CliRunner().invoke(midi_valle_app(), ["prompts", "check"])
    assert ran.exit_code == 0
    assert [line.split(": ")[1] for line in ran.stdout.splitlines()] == ["good"] * 4


def test_what_is_no_bank_is_reported(tmp_path: Path) -> None:
    for verb in (["check"], ["show", "--out", str(tmp_path / "p.html")]):
        ran = CliRunner().invoke(midi_valle_app(), ["prompts", *verb, str(tmp_path / "none.parquet")])
        assert ran.exit_code == 1
        assert "none.parquet" in ran.stderr
    assert not (tmp_path / "p.html").exists()
