"""S3 as it is on bad days: behind a proxy that refuses, loses, cuts short and delays; and with wrong credentials."""

import os
import pickle
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import StorageError, UnavailableError
from jobs.storage import Patience, S3Access
from jobs.storage.s3_storage import MULTIPART_BYTES, S3Storage
from tests.jobs.support.fault_proxy import FaultProxy, running_proxy
from tests.jobs.support.s3_server import SECRET_KEY, S3Server

LARGE = bytes(range(256)) * (MULTIPART_BYTES // 256) + b"end"


QUICK = Patience(first_pause=0.0, throttled_pause=0.0, longest_pause=0.0)


def behind(proxy: FaultProxy, s3: S3Server, patience: Patience = QUICK) -> S3Storage:
    return S3Storage.at(s3.uri(), S3Access(proxy.endpoint, patience=patience))


def direct(storage: S3Storage, s3: S3Server) -> S3Storage:
    return S3Storage(storage.bucket, storage.prefix, S3Access(s3.endpoint))


def use_all(storage: S3Storage) -> Any:
    storage.write("a/b", b"old")
    storage.write("a/b", b"content" * 1000)
    won = storage.create("marker", b"attempt 1"), storage.create("marker", b"attempt 2")
    storage.write("gone", b"x")
    storage.delete("gone")
    return storage.read("a/b"), won, sorted(storage.keys()), storage.exists("gone"), storage.size("a/b")


@pytest.mark.parametrize("fault", ["503", "500", "reset", "lost acknowledgement", "truncated body"])
def test_what_goes_wrong_once_or_twice_at_every_request_changes_no_result(s3: S3Server, fault: str) -> None:
    expected = (b"content" * 1000, (True, False), ["a/b", "marker"], False, 7000)
    for script in ([fault, ""] * 20, [fault, fault, ""] * 20):
        with running_proxy(s3.endpoint, script=script) as proxy:
            assert use_all(behind(proxy, s3)) == expected
        assert proxy.injected[fault] >= 6


def test_a_lost_acknowledgement_does_not_turn_the_winner_into_a_loser(s3: S3Server) -> None:
    with running_proxy(s3.endpoint, script=["lost acknowledgement"] * 2) as proxy:
        storage = behind(proxy, s3)
        assert storage.create("marker", b"attempt 1") and not storage.create("marker", b"attempt 2")


def test_of_many_creators_whose_first_acknowledgements_are_all_lost_exactly_one_wins(s3: S3Server) -> None:
    for _ in range(5):
        with running_proxy(s3.endpoint, script=["lost acknowledgement"] * 16) as proxy, ThreadPoolExecutor(16) as pool:
            storage = behind(proxy, s3)
            won = list(pool.map(storage.create, ["marker"] * 16, map(bytes, range(1, 17))))
        assert won.count(True) == 1 and len(direct(storage, s3).read("marker")) == won.index(True) + 1


def test_a_large_object_survives_faults_in_its_parts_and_at_its_end(s3: S3Server) -> None:
    scripts: list[list[str]] = [["", "503", "reset"], [""] * 4 + ["lost acknowledgement"], [""] * 4 + ["500", "reset"]]
    for script in scripts:
        with running_proxy(s3.endpoint, script=script) as proxy:
            storage = behind(proxy, s3)
            storage.write("large", LARGE)
        assert sum(proxy.injected.values()) == len([fault for fault in script if fault])
        assert direct(storage, s3).read("large") == LARGE


def test_a_read_that_is_cut_short_goes_on_where_it_was(s3: S3Server, tmp_path: Path) -> None:
    with running_proxy(s3.endpoint, script=["truncated body"] * 5) as proxy:
        storage = behind(proxy, s3)
        direct(storage, s3).write("large", LARGE)
        with (tmp_path / "copy").open("w+b") as file:
            storage.copy("large", file)
        assert proxy.requests == 6 and (tmp_path / "copy").read_bytes() == LARGE


def test_a_read_never_mixes_what_was_with_what_is(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_proxy(s3.endpoint, script=["truncated body"]) as proxy:
        storage = behind(proxy, s3)
        direct(storage, s3).write("a", b"old" * 100_000)

        def replaced(self: Patience, failures: int, fault: str) -> float:
            direct(storage, s3).write("a", b"newer" * 100_000)
            return 0.0

        monkeypatch.setattr(Patience, "pause", replaced)
        assert storage.read("a") == b"newer" * 100_000


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("503", "the server is overloaded or out of order"),
        ("500", "the server is overloaded or out of order"),
        ("reset", "Connection was closed"),
        ("truncated body", "read|closed"),
    ],
)
def test_what_goes_wrong_for_ever_is_an_error_that_names_the_object(s3: S3Server, fault: str, reason: str) -> None:
    with running_proxy(s3.endpoint, rate=1.0, faults=[fault]) as proxy:
        storage = behind(proxy, s3, Patience(0.5, 0.05, 0.05, 0.05))
        direct(storage, s3).write("a", b"x")
        with pytest.raises(StorageError, match=f"cannot read {storage.uri}/a: .*({reason})") as error:
            storage.read("a")
        assert not isinstance(error.value, UnavailableError)
        assert 3 < proxy.requests < 200


CALLS: list[Callable[[S3Storage], Any]] = [
    lambda storage: storage.read("a"),
    lambda storage: storage.write("a", b""),
    lambda storage: storage.write("a", LARGE),
    lambda storage: storage.create("a", b""),
    lambda storage: storage.delete("a"),
    lambda storage: list(storage.keys()),
]


def test_expired_credentials_are_called_by_their_name(s3: S3Server) -> None:
    with running_proxy(s3.endpoint) as proxy:
        storage = behind(proxy, s3)
        storage.write("a", b"x")
        proxy.expired = True
        for call in CALLS:
            with pytest.raises(StorageError, match="credentials have expired; renew them and run the command again"):
                call(storage)
        with pytest.raises(StorageError, match="credentials may have expired"):
            storage.exists("a")
        proxy.expired = False
        assert storage.read("a") == b"x"


def test_wrong_credentials_are_an_error_that_does_not_tell_them(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "another-secret-not-to-be-seen"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    storage = S3Storage.at(s3.uri())
    for call in CALLS:
        with pytest.raises(StorageError, match="the AWS credentials are not valid") as error:
            call(storage)
        shown = "".join(traceback.format_exception(error.value))
        assert secret not in shown and SECRET_KEY not in shown
    assert secret not in repr(storage) + repr(vars(storage))
    assert secret.encode() not in pickle.dumps(storage)
    with pytest.raises(UnavailableError, match="access denied"):
        storage.exists("a")


def test_missing_credentials_a_missing_bucket_and_a_missing_server_are_named(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match=r"cannot read s3://no-such-bucket/a: there is no such bucket"):
        S3Storage.at("s3://no-such-bucket").read("a")
    with pytest.raises(StorageError, match=r"cannot write s3://x/a: Could not connect to the endpoint"):
        S3Storage.at("s3://x", S3Access("http://127.0.0.1:9", patience=Patience(seconds=0))).write("a", b"")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StorageError, match=r"cannot read s3://x/a: access denied: no AWS credentials were found"):
        S3Storage.at("s3://x").read("a")
    assert "AWS_ACCESS_KEY_ID" not in os.environ


def test_an_upload_that_was_never_finished_is_found_and_removed(s3: S3Server) -> None:
    storage = S3Storage.at(s3.uri())
    upload = storage._client.create_multipart_upload(Bucket=storage.bucket, Key=f"{storage.prefix}/audio/a.flac")
    storage._client.upload_part(
        Bucket=storage.bucket, Key=upload["Key"], UploadId=upload["UploadId"], PartNumber=1, Body=b"x"
    )
    (leftover,) = storage.leftovers()
    assert leftover.key == "audio/a.flac" and list(storage.keys()) == []
    storage.discard(leftover)
    storage.discard(leftover)
    assert list(storage.leftovers()) == []
