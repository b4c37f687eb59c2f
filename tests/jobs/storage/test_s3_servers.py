"""S3 as other people run it: servers that are away for a while, that demand headers, that know less than Amazon's."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.errors import JobError, StorageError, UnavailableError
from jobs.run.options import RenderOptions
from jobs.storage import Patience, S3Access, news
from jobs.storage.s3_check import SETTING, check_round_trip
from jobs.storage.s3_storage import MULTIPART_BYTES, S3Storage
from renderer.patience import PassingFault, Persistence
from tests.jobs.support.certificate import make_certificate
from tests.jobs.support.memory_s3 import MemoryS3, running_memory_s3

OUTAGE = 1.5
QUICK = Patience(seconds=30.0, first_pause=0.02, throttled_pause=0.02, longest_pause=0.2)
THREADS = 16
CHECKSUMS = "AWS_REQUEST_CHECKSUM_CALCULATION"


@pytest.fixture
def server() -> Iterator[MemoryS3]:
    with running_memory_s3() as server:
        yield server


def storage_on(server: MemoryS3, patience: Patience = QUICK, **access: object) -> S3Storage:
    return S3Storage.at("s3://corpus/run", S3Access(server.endpoint, patience=patience, **access))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outage", "patience"),
    [
        (OUTAGE, QUICK),
        pytest.param(20.0, Patience(), marks=pytest.mark.slow),
        pytest.param(120.0, Patience(), marks=pytest.mark.slow),
    ],
)
def test_many_threads_wait_out_a_server_that_is_away_and_none_gives_up(
    server: MemoryS3, outage: float, patience: Patience
) -> None:
    storage = storage_on(server, patience)
    storage.write("there", b"x" * 1000)
    began = threading.Barrier(THREADS + 1)

    def work(thread: int) -> bool:
        began.wait()
        for turn in range(6):
            storage.write(f"{thread}/{turn}", bytes([turn]))
            assert storage.create(f"marker-{thread}-{turn}", bytes([thread]))
            assert storage.read("there") == b"x" * 1000 and storage.size(f"{thread}/{turn}") == 1
            assert list(storage.keys(f"{thread}"))
            storage.delete(f"{thread}/{turn}")
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        working = [pool.submit(work, thread) for thread in range(THREADS)]
        began.wait()
        time.sleep(0.2)
        server.go_down(outage)
        assert all(each.result() for each in working)
    assert len(list(storage.keys())) == 1 + THREADS * 6


@pytest.mark.parametrize("mode", ["down", "throttles"])
def test_a_server_that_stays_away_is_an_error_when_patience_is_over(server: MemoryS3, mode: str) -> None:
    storage = storage_on(server, Patience(seconds=1.0, first_pause=0.02, throttled_pause=0.02, longest_pause=0.1))
    setattr(server, mode, True)
    since = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        for each in [pool.submit(storage.read, "a") for _ in range(THREADS)]:
            with pytest.raises(StorageError, match=r"cannot read s3://corpus/run/a: .* \(given up after \d"):
                each.result()
    assert 0.7 < time.monotonic() - since < 20


def test_a_person_is_reported_once_that_a_storage_does_not_answer_and_when_it_does_again(
    server: MemoryS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []

    def say(text: str) -> None:
        messages.append(text)
        server.down = server.throttles = False

    monkeypatch.setattr(news, "SECONDS_TO_TELL", 0.2)
    monkeypatch.setattr(news, "say_above_bars", say)
    storage = storage_on(server)
    for mode, words in (("down", "does not answer: trying"), ("throttles", "asks for fewer requests: trying")):
        setattr(server, mode, True)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(storage.exists, "abcd"))
        assert len(messages) == 2
        assert messages[0].startswith(f"s3://corpus/run {words} for up to 30.0 s (")
        assert messages[1].startswith("s3://corpus/run answers again, after ")
        messages.clear()


@pytest.mark.parametrize(("fault", "first"), [("silent", 0.2), ("throttled", 1.0)])
def test_pauses_are_drawn_from_all_that_is_below_a_limit_that_doubles(fault: PassingFault, first: float) -> None:
    policy = Patience()
    for failures in (1, 2, 3, 4, 20, 5000):
        limit = min(policy.longest_pause, first * 2.0 ** min(failures - 1, 30))
        drawn = [policy.pause(failures, fault) for _ in range(200)]
        assert min(drawn) < 0.1 * limit and 0.9 * limit < max(drawn) <= limit


def test_a_person_may_take_long_over_a_large_object_as_long_as_it_grows(server: MemoryS3) -> None:
    sent: list[int] = []

    class CutError(Exception):
        pass

    def request() -> None:
        sent.append(1)
        time.sleep(0.05)
        if len(sent) < 30:
            raise CutError

    persistence = Persistence(Patience(0.3, 0.0, 0.0, 0.0), lambda error: "silent")
    persistence.send(request, lambda: len(sent))
    assert len(sent) == 30
    sent.clear()
    with pytest.raises(CutError):
        persistence.send(request)
    assert len(sent) < 10


def test_what_a_server_demands_is_an_option_and_the_refusal_names_it(server: MemoryS3) -> None:
    server.objects["corpus/run/a"] = b"a"
    server.demanded = {"x-amz-request-payer": "requester"}
    with pytest.raises(UnavailableError, match=r"access denied.*--s3-requester-pays"):
        storage_on(server).read("a")
    paying = storage_on(server, requester_pays=True)
    paying.write("b", b"b")
    assert paying.read("a") == b"a" and sorted(paying.keys()) == ["a", "b"] and paying.size("b") == 1

    server.demanded, server.demanded_of_writes = {}, {"x-amz-server-side-encryption": "aws:kms"}
    with pytest.raises(StorageError, match=r"access denied.*--s3-encryption"):
        storage_on(server).write("c", b"c")
    for wanted in ("aws:kms", "aws:kms:arn:aws:kms:eu-west-1:1:key/2"):
        encrypting = storage_on(server, encryption=wanted)
        encrypting.write("c", b"c")
        encrypting.write("large", bytes(MULTIPART_BYTES + 1))
        assert encrypting.read("c") == b"c" and encrypting.size("large") == MULTIPART_BYTES + 1
    with pytest.raises(JobError, match="it must be AES256, aws:kms or aws:kms:KEY"):
        S3Access(encryption="rot13")


def test_a_runs_options_say_how_its_server_is_reached_and_for_how_long_it_is_waited_for() -> None:
    options = RenderOptions(
        manifest="m",
        s3_endpoint_url="http://host:1",
        s3_addressing="virtual",
        s3_requester_pays=True,
        s3_encryption="AES256",
        storage_patience=7.0,
    )
    assert options.s3 == S3Access("http://host:1", "virtual", True, "AES256", Patience(seconds=7.0))
    for wrong in ({"s3_addressing": "x"}, {"s3_encryption": "x"}, {"storage_patience": -1.0}):
        with pytest.raises(JobError, match=r"it must be|for -1 s"):
            _ = RenderOptions(manifest="m", **wrong).s3


def test_a_public_bucket_is_read_without_credentials(server: MemoryS3, monkeypatch: pytest.MonkeyPatch) -> None:
    server.objects["corpus/run/a"] = b"a"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    storage = storage_on(server)
    assert storage.read("a") == b"a" and list(storage.keys()) == ["a"]
    server.demanded = {"Authorization": "AWS4-HMAC-SHA256"}
    with pytest.raises(StorageError, match=r"access denied: no AWS credentials were found .*not signed") as error:
        storage.read("a")
    assert not isinstance(error.value, UnavailableError)  # The place is at fault, not the object.


@pytest.mark.parametrize(
    ("option", "profile", "expected"),
    [
        (None, "", "http://host:1/corpus/a"),
        (None, "virtual", "http://corpus.host:1/a"),
        ("virtual", "", "http://corpus.host:1/a"),
        ("path", "virtual", "http://host:1/corpus/a"),
    ],
)
def test_the_bucket_stands_where_the_option_or_the_profile_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str | None, profile: str, expected: str
) -> None:
    (tmp_path / "config").write_text(f"[default]\ns3 =\n  addressing_style = {profile}\n" if profile else "")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    client, _ = S3Access("http://host:1", addressing=option).client()
    url = client.generate_presigned_url("get_object", {"Bucket": "corpus", "Key": "a"})
    assert url.partition("?")[0] == expected


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.mark.parametrize("mode", [{"keeps_framing": True}, {"knows_trailers": False}])
def test_servers_that_know_no_trailing_checksums_are_spoken_to_without_them(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, mode: dict[str, bool]
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with running_memory_s3(certificate, **mode) as server:
        storage = storage_on(server)
        storage.check("probe")
        storage.write("a", b"x" * 1000)
        storage.write("large", bytes(MULTIPART_BYTES + 1))
        assert storage.read("a") == b"x" * 1000 and storage.read("large") == bytes(MULTIPART_BYTES + 1)
        assert sorted(server.objects) == ["corpus/run/a", "corpus/run/large"] and not server.uploads

        monkeypatch.setenv(CHECKSUMS, "when_supported")
        reason = "keeps the framing of requests" if "keeps_framing" in mode else "the server does not know a kind"
        with pytest.raises(StorageError, match=rf"{reason}.*\(a server that .* needs {SETTING}"):
            storage_on(server).check("probe")
        assert "corpus/run/probe" not in server.objects and not server.uploads


def test_content_that_is_changed_on_its_way_is_refused_by_the_server(server: MemoryS3) -> None:
    storage = storage_on(server)

    def spoil(request: object, **context: object) -> None:
        request.data = b"other"  # type: ignore[attr-defined]

    storage._client.meta.events.register("before-sign.s3.PutObject", spoil)
    with pytest.raises(StorageError, match="BadDigest"):
        storage.write("a", b"right")
    assert server.objects == {}


def test_a_server_that_gives_back_something_else_is_refused(server: MemoryS3, monkeypatch: pytest.MonkeyPatch) -> None:
    read = S3Storage.read
    monkeypatch.setattr(S3Storage, "read", lambda self, key: read(self, key)[:-1])
    with pytest.raises(StorageError, match=r"gave back 999 other bytes than the 1,000 .*; nothing .* would be whole$"):
        check_round_trip(storage_on(server), "probe", sends_trailers=False)
    assert server.objects == {}


def test_a_certificate_that_nobody_knows_is_reported_at_once(certificate: Path) -> None:
    with running_memory_s3(certificate) as server:
        since = time.monotonic()
        with pytest.raises(StorageError, match="CERTIFICATE_VERIFY_FAILED"):
            storage_on(server).read("a")
        assert time.monotonic() - since < 15
