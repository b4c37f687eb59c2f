"""The report's page in a real browser: what a person sees, hears and filters, on a phone and on a screen."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobs.inspect.report_page import page
from tests.jobs.support.reported import render_tones, report_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("playwright", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ARGUMENTS += ["--autoplay-policy=no-user-gesture-required"]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of 45 items, of which one is called as no item should be, beside its audio."""
    folder = tmp_path_factory.mktemp("tones")
    ids = [f"piece-{number:02d}" for number in range(44)]
    report = report_of(render_tones(folder, [*ids, "piece-44"], str(folder / "out"), "files"))
    column = report.items.schema.get_field_index("item_id")
    items = report.items.set_column(column, "item_id", [[*ids, HOSTILE]])
    path = folder / "out/report.html"
    path.write_text(page(replace(report, items=items)))
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(params=[(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")], ids=str)
def shown(browser: "Browser", address: str, request: pytest.FixtureRequest) -> Iterator["Page"]:
    """The page at a width and in a scheme; whatever it loads, or says on the console, is a fault."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("console", lambda message: faults.append(message.text))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("dialog", lambda dialog: faults.append(dialog.message))
    opened.on("request", lambda sent: None if sent.url.startswith(("data:", address)) else faults.append(sent.url))
    opened.goto(address)
    yield opened
    assert faults == []
    context.close()


def test_it_is_as_wide_as_the_screen_and_its_charts_are_drawn(shown: "Page") -> None:
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    labels = [chart.get_attribute("aria-label") for chart in shown.locator(".charts canvas").all()]
    assert (
        len(labels) >= 3
        and labels[0] is not None
        and labels[0].startswith("Notes found, and attacks explained: 45 items")
    )
    for chart in shown.locator(".charts canvas").all():
        assert chart.evaluate("c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size > 10")
    assert shown.get_by_text(HOSTILE).count() >= 1 and shown.locator("img").count() == 0
    narrow = shown.evaluate(
        "[...document.querySelectorAll('.items td, .numbers td')].filter(c => c.innerText && c.offsetWidth < 24).length"
    )
    assert narrow == 0  # No name stands letter under letter.


def test_filters_choose_items_charts_and_cards(shown: "Page") -> None:
    assert shown.locator(".filters output").inner_text() == "45 of 45 items"
    shown.select_option("select[name=prompt]", "booth.wav")
    assert shown.locator(".filters output").inner_text() == "22 of 45 items"
    assert set(shown.locator(".items tbody td:nth-child(3)").all_inner_texts()) == {"booth.wav"}
    prompts = {card.get_attribute("data-prompt") for card in shown.locator(".heard article:visible").all()}
    assert prompts == {"booth.wav"} and shown.locator(".charts figure").count() >= 1
    shown.select_option("select[name=split]", "test")
    assert shown.locator(".filters output").inner_text() == "8 of 45 items"
    assert shown.locator(".charts figure").count() == 0 and shown.locator("#few").is_visible()
    shown.select_option("select[name=prompt]", "")
    shown.select_option("select[name=split]", "")
    shown.fill("input[name=text]", "IECE-07")
    assert shown.locator(".items tbody td:first-child").all_inner_texts() == ["piece-07"]
    assert shown.locator(".items tbody a").get_attribute("href") == "audio/piece-07.flac"


def test_the_table_is_sorted_by_a_column(shown: "Page") -> None:
    names = shown.locator(".items tbody td:first-child")
    shown.locator(".items thead button", has_text="item").click()
    assert names.all_inner_texts()[-1] == "piece-43"
    shown.locator(".items thead button", has_text="item").click()
    assert names.all_inner_texts()[0] == "piece-43"


def test_a_picture_follows_its_player_and_a_click_into_it_is_heard(shown: "Page") -> None:
    card = shown.locator(".heard article").first
    item, prompt = card.locator("figure").all()
    assert item.locator(".note").count() > 5 and prompt.locator("audio").count() == 1
    size = item.locator("image").bounding_box()
    assert size is not None and size["width"] > 250
    item.locator("audio").evaluate("a => a.play()")
    shown.wait_for_function("() => +document.querySelector('.heard .playhead').getAttribute('x1') > 0.2")
    shown.wait_for_function("() => document.querySelector('.heard .note.sounds') !== null")
    prompt.locator(".sound").click()
    shown.wait_for_function("() => document.querySelectorAll('.heard audio')[1].currentTime > 1.2")
    assert item.locator("audio").evaluate("a => a.paused")
    length = item.locator("audio").evaluate("a => a.duration")
    assert length == pytest.approx(float(str(item.locator("svg").get_attribute("viewBox")).split()[2]), abs=0.1)
