"""``midi-valle prompts show``: a page that needs nothing but itself, with each prompt's sound, picture and facts."""

import base64
import hashlib
import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from jobs.console import one_line
from jobs.errors import InputError
from jobs.inputs.inputs import absolute
from jobs.pictures.note_picture import STYLE as PICTURE_STYLE
from jobs.pictures.note_picture import note_picture, player_script
from jobs.pictures.spectrogram import spectrogram
from jobs.prompts.prompt_clip import SoundFacts, reason_of
from jobs.prompts.sources import PromptFiles
from jobs.storage import open_storage
from renderer.audio.audio_file import FloatSamples, write_audio
from renderer.errors import RendererError
from renderer.weights.checkpoint import ModelDescription

STYLE = (
    """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
main { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
article { border: 1px solid #8886; border-radius: 0.5rem; padding: 0.75rem; min-width: 0; }
audio { width: 100%; height: 2.25rem; margin: 0.5rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: 0.5rem 0 0; font-size: 0.9rem; }
dt { color: #888; } dd { margin: 0; overflow-wrap: anywhere; }
.refused { color: #c33; }
"""
    + PICTURE_STYLE
)
SCRIPT = player_script() + 'document.querySelectorAll("article").forEach(follow);\n'


def write_page(out: Path, title: str, prompts: Sequence[PromptFiles], most: int, model: ModelDescription) -> None:
    """Write the page of the first prompts, as the model's renderer hears them; StorageError if it cannot be written."""
    content = "".join(page(title, prompts, most, model))
    open_storage(absolute(str(out.parent))).write(out.name, content.encode())


def page(title: str, prompts: Sequence[PromptFiles], most: int, model: ModelDescription) -> Iterator[str]:
    """The page, part by part, of any number of prompts. All that comes from a bank is text in it, whatever it says."""
    script = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    yield (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><title>{_text(title)}</title>'
        f"<style>{STYLE}</style></head>\n"
        f"<body>\n<h1>{_text(title)}</h1>\n"
    )
    left_out = len(prompts) - most
    if left_out > 0:
        yield f"<p>The first {most:,} of {len(prompts):,} prompts; --most shows more.</p>\n"
    yield "<p>Over each spectrogram lie the prompt's notes: keys from A0 upwards, 3 s from left to right.</p>\n<main>\n"
    yield from (_article(files, model) for files in prompts[:most])
    yield f"</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"


def _article(files: PromptFiles, model: ModelDescription) -> str:
    prompt = files.prompt
    head = f"<article><h2>{_text(prompt.prompt_id)}</h2>"
    try:
        samples, notes = files.read(model)
    except (RendererError, InputError) as error:
        return f'{head}<p class="refused">refused: {_text(reason_of(error))}</p></article>\n'
    sound = SoundFacts.of(samples, model.sample_rate)
    facts = {
        "notes": f"{len(notes)} on {len(set(notes.pitch.tolist()))} keys"
        + (f", heard by {prompt.transcriber}" if prompt.transcriber else ""),
        "level": f"{sound.rms:.1f} dBFS (RMS), peak {sound.peak:.1f} dBFS",
        "noise": f"{sound.noise:.1f} dBFS at most",
        "licence": prompt.licence or "not stated",
        "source": prompt.source or "not stated",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in facts.items())
    picture = note_picture(spectrogram(samples, model.sample_rate), notes)
    player = f'<audio controls preload="metadata" src="{_player_source(samples, model.sample_rate)}"></audio>'
    return f"{head}{player}{picture}<dl>{listed}</dl></article>\n"


def _player_source(samples: FloatSamples, rate: int) -> str:
    content = io.BytesIO()
    write_audio(content, samples, rate, "flac")
    return f"data:audio/flac;base64,{base64.b64encode(content.getvalue()).decode()}"


def _text(value: str) -> str:
    """Anything as text of the page, in an element or in an attribute."""
    return escape(one_line(value))
