"""Downloads from a real server on the loopback that behaves well, badly, and like Zenodo."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from renderer.errors import CheckpointError
from renderer.patience import Patience
from renderer.weights import published
from renderer.weights.download import DownloadError, download, fetch
from renderer.weights.zenodo import ZenodoFile, ZenodoRecord

QUICK = Patience(seconds=10.0, first_pause=0.01, throttled_pause=0.01, longest_pause=0.05)
SHORT = Patience(seconds=0.5, first_pause=0.01, throttled_pause=0.01, longest_pause=0.05)
BODY = bytes(range(256)) * 12_000  # 3 MB: more than one read, and no two pages alike at odd offsets


class Server(ThreadingHTTPServer):
    """Gives ``files``; each of ``faults`` spoils one answer: a status, or ``cut`` after half of the bytes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: list[int | str] = []
        self.ranges = True
        self.etags = True
        self.asked: list[tuple[str, str | None, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def offer(self, path: str, body: bytes) -> tuple[str, str]:
        """Puts a file up; returns its address and md5."""
        self.files[path] = body
        return self.url + path, hashlib.md5(body).hexdigest()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.path, wanted, self.headers.get("If-Range")))
        fault = server.faults.pop(0) if server.faults else None
        if isinstance(fault, int) or self.path not in server.files:
            self.send_response(fault if isinstance(fault, int) else 404)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.files[self.path]
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0  # type: ignore[index]
        if start and self.headers.get("If-Range", etag) != etag:
            start = 0
        if start >= len(body) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if server.etags:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        self.wfile.write(rest[: len(rest) // 2] if fault == "cut" else rest)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_file_arrives_whole_and_progress_ends_at_its_size(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    seen: list[tuple[int, int]] = []
    download(url, tmp_path / "new" / "f", size=len(BODY), md5=md5, progress=lambda *at: seen.append(at))
    assert (tmp_path / "new" / "f").read_bytes() == BODY
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["f"]
    assert seen[0] == (0, len(BODY)) and seen[-1] == (len(BODY), len(BODY)) and len(seen) > 3


def test_a_broken_connection_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    server.faults = ["cut", "cut"]
    download(url, tmp_path / "f", size=len(BODY), md5=md5, patience=QUICK)
    assert (tmp_path / "f").read_bytes() == BODY
    half, etag = len(BODY) // 2, f'"{md5}"'
    assert server.asked == [
        ("/f", None, None),
        ("/f", f"bytes={half}-", etag),
        ("/f", f"bytes={half + half // 2}-", etag),
    ]


def test_a_part_left_by_an_earlier_run_is_continued(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    (tmp_path / "f.part").write_bytes(BODY[:1_000_001])
    download(url, tmp_path / "f", size=len(BODY), md5=md5)
    assert (tmp_path / "f").read_bytes() == BODY
    assert server.asked == [("/f", "bytes=1000001-", None)]


def test_a_complete_part_is_verified_without_asking_the_server(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    (tmp_path / "f.part").write_bytes(BODY)
    download(url, tmp_path / "f", size=len(BODY), md5=md5)
    assert (tmp_path / "f").read_bytes() == BODY
    assert server.asked == []


def test_a_file_that_is_already_right_is_left_alone(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    (tmp_path / "f").write_bytes(BODY)
    download(url, tmp_path / "f", size=len(BODY), md5=md5)
    assert server.asked == []


def test_a_server_without_ranges_sends_the_file_from_the_start(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    server.ranges, server.faults = False, ["cut"]
    download(url, tmp_path / "f", size=len(BODY), md5=md5, patience=QUICK)
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_file_that_changes_between_two_requests_is_not_stitched_together(server: Server, tmp_path: Path) -> None:
    changed = BODY[::-1]
    url, _ = server.offer("/f", BODY)
    server.faults = ["cut"]

    def change(done: int, total: int) -> None:
        if done:
            server.files["/f"] = changed

    md5 = hashlib.md5(changed).hexdigest()
    download(url, tmp_path / "f", size=len(BODY), md5=md5, progress=change, patience=QUICK)
    assert (tmp_path / "f").read_bytes() == changed


def test_a_part_that_is_too_long_is_thrown_away(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    (tmp_path / "f.part").write_bytes(BODY + b"more")
    download(url, tmp_path / "f", size=len(BODY), md5=md5, patience=QUICK)
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_refused_range_starts_again_from_zero(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    (tmp_path / "f.part").write_bytes(b"?" * 1000)
    server.faults = [416]
    download(url, tmp_path / "f", size=len(BODY), md5=md5, patience=QUICK)
    assert (tmp_path / "f").read_bytes() == BODY
    assert [wanted for _, wanted, _ in server.asked] == ["bytes=1000-", None]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path, status: int) -> None:
    url, md5 = server.offer("/f", BODY)
    server.faults = [status, status]
    download(url, tmp_path / "f", size=len(BODY), md5=md5, patience=QUICK)
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_server_that_stays_busy_is_given_up(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    server.faults = [503] * 1000
    with pytest.raises(DownloadError, match=r"503 Service Unavailable; given up after \d+\.\d s\."):
        download(url, tmp_path / "f", size=len(BODY), md5=md5, patience=SHORT)
    assert 1 < len(server.asked) < 1000


def test_requests_that_bring_something_are_not_counted_against_the_limit(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    server.faults = ["cut"] * 12
    download(url, tmp_path / "f", size=len(BODY), md5=md5, patience=QUICK)
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_missing_file_is_not_asked_for_twice(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="/f: the server answered 404"):
        download(server.url + "/f", tmp_path / "f", size=1, md5="0", patience=QUICK)
    assert len(server.asked) == 1


def test_wrong_bytes_are_deleted_and_both_checksums_named(server: Server, tmp_path: Path) -> None:
    url, found = server.offer("/f", b"x" + BODY[1:])
    expected = hashlib.md5(BODY).hexdigest()
    with pytest.raises(DownloadError, match=f"expected md5 {expected}, found {found}"):
        download(url, tmp_path / "f", size=len(BODY), md5=expected)
    assert list(tmp_path.iterdir()) == []


def test_a_page_in_place_of_the_file_leaves_the_part_untouched(server: Server, tmp_path: Path) -> None:
    url, _ = server.offer("/f", b"<html>please log in</html>")
    server.ranges = False
    (tmp_path / "f.part").write_bytes(BODY[:1000])
    with pytest.raises(DownloadError, match=f"expected {len(BODY)} bytes, the server has 26"):
        download(url, tmp_path / "f", size=len(BODY), md5="0", patience=QUICK)
    assert (tmp_path / "f.part").read_bytes() == BODY[:1000]


def test_too_little_room_is_noticed_before_the_download(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    with pytest.raises(CheckpointError, match=r"Not enough room in .* MB are needed, .* MB free"):
        download(url, tmp_path / "f", size=10**18, md5=md5)
    assert server.asked == []


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    url, md5 = server.offer("/f", BODY)
    (tmp_path / "in-the-way").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"Cannot write .*in-the-way"):
        download(url, tmp_path / "in-the-way" / "f", size=len(BODY), md5=md5)


def test_an_unreachable_server_is_an_error_with_the_address(tmp_path: Path) -> None:
    with Server() as stopped:
        url = stopped.url + "/f"
    with pytest.raises(DownloadError, match=rf"{url}: no connection: .*refused"):
        download(url, tmp_path / "f", size=1, md5="0", patience=SHORT)
    with pytest.raises(DownloadError, match="cannot be resolved; is this machine online"):
        download("https://host.invalid/f", tmp_path / "f", size=1, md5="0", patience=QUICK)


def test_only_web_addresses_are_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"s")
    with pytest.raises(DownloadError, match="only http and https"):
        fetch(secret.as_uri())


def record_of(server: Server, bodies: dict[str, bytes]) -> dict[str, object]:
    """A record as Zenodo's API states it, with its files put up."""
    entries = []
    for name, body in bodies.items():
        url, md5 = server.offer(f"/api/records/15976272/files/{name}/content", body)
        entries.append({"id": "0", "key": name, "size": len(body), "checksum": f"md5:{md5}", "links": {"self": url}})
    return {
        "id": 15976272,
        "metadata": {"title": "MIDI-VALLE", "license": {"id": "cc-by-nc-sa-4.0"}},
        "links": {"self": f"{server.url}/api/records/15976272"},
        "files": entries,
        "status": "published",
    }


@pytest.fixture
def zenodo(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The record of the published weights, with small files of the same names."""
    bodies = {
        "best-valid-loss.pt": BODY,
        "compression_32khz_new.bin": BODY[:99_999],
        "LICENSE": b"Licence text\n",
        "other.zip": b"not needed",
    }
    server.offer("/api/records/15976272", json.dumps(record_of(server, bodies)).encode())
    monkeypatch.setattr(published, "RECORD_URL", server.url + "/api/records/15976272")
    return server


def test_a_record_states_names_sizes_checksums_and_licence(zenodo: Server) -> None:
    record = ZenodoRecord.fetch(zenodo.url + "/api/records/15976272")
    assert record.licence == "cc-by-nc-sa-4.0"
    assert record.file("LICENSE") == ZenodoFile(
        "LICENSE",
        zenodo.url + "/api/records/15976272/files/LICENSE/content",
        13,
        hashlib.md5(b"Licence text\n").hexdigest(),
    )
    assert record.file("absent") is None


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"[]", b"{}", b'{"files": [{"key": "a"}]}'])
def test_an_answer_that_is_no_record_is_quoted(server: Server, body: bytes) -> None:
    url, _ = server.offer("/r", body)
    with pytest.raises(DownloadError, match="expected a Zenodo record as JSON, found") as caught:
        ZenodoRecord.fetch(url)
    assert repr(body.decode())[:20] in str(caught.value)


def test_the_published_files_are_downloaded_after_the_licence_was_shown(zenodo: Server, tmp_path: Path) -> None:
    messages: list[str] = []
    files = published.find_or_download(tmp_path / "cache", announce=messages.append)
    assert files.model.read_bytes() == BODY
    assert files.codec.read_bytes() == BODY[:99_999]
    assert files.licence is not None and files.licence.read_bytes() == b"Licence text\n"
    assert "CC BY-NC-SA 4.0" in messages[0] and "CC BY 4.0" in messages[0] and "cc-by-nc-sa-4.0" in messages[0]
    assert not any("other.zip" in path for path, _, _ in zenodo.asked)


def test_files_in_the_cache_need_no_network(zenodo: Server, tmp_path: Path) -> None:
    first = published.find_or_download(tmp_path)
    zenodo.asked.clear()
    assert published.find_or_download(tmp_path) == first
    assert zenodo.asked == []


def test_only_the_missing_file_is_downloaded(zenodo: Server, tmp_path: Path) -> None:
    files = published.find_or_download(tmp_path)
    files.codec.unlink()
    zenodo.asked.clear()
    published.find_or_download(tmp_path)
    assert [path.rsplit("/", 2)[-2] for path, _, _ in zenodo.asked] == [
        "records",
        "compression_32khz_new.bin",
    ]


def test_without_a_connection_the_error_says_how_to_give_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "RECORD_URL", "https://host.invalid/api/records/15976272")
    with pytest.raises(CheckpointError, match="is this machine online") as caught:
        published.find_or_download(tmp_path)
    for word in ("--model-file", "--codec-file", "best-valid-loss.pt", "compression_32khz_new.bin"):
        assert word in str(caught.value)


def test_a_record_without_the_file_names_what_it_has(zenodo: Server, tmp_path: Path) -> None:
    record = record_of(zenodo, {"renamed.pt": BODY, "compression_32khz_new.bin": b"c"})
    zenodo.files["/api/records/15976272"] = json.dumps(record).encode()
    with pytest.raises(CheckpointError, match=r"expected best-valid-loss\.pt .*, found renamed\.pt"):
        published.find_or_download(tmp_path)


def test_downloads_at_once_do_not_spoil_each_others_files(zenodo: Server, tmp_path: Path) -> None:
    messages: list[str] = []
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: published.find_or_download(tmp_path, announce=messages.append), range(4)))
    assert {files.model.read_bytes() for files in found} == {BODY}
    assert sum(path.endswith("best-valid-loss.pt/content") for path, _, _ in zenodo.asked) == 1
    assert any("Waiting for another process" in message for message in messages)
