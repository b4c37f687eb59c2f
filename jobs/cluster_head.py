"""The head of a cluster that is there: whether it answers when a run begins, and whether it still does."""

import os
import socket
import threading
import time

from jobs.errors import JobError

ANSWER_SECONDS = 25.0
CONNECT_SECONDS = 5.0
SECONDS_BETWEEN_CALLS = 5.0

LOST_SECONDS = 30.0
"""Ray itself ends a driver, without a word that helps, when a head has not answered for twice as long."""


def check_answers(address: str) -> None:
    """JobError within 30 s if nobody answers at the address of a cluster, or somebody who is no head of Ray's."""
    option = f"--ray-address {address}"
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    host, _, port = address.rpartition(":")
    if "://" in address or not (host and port.isdigit()):  # Ray finds it, or says by itself that it does not.
        return
    try:
        _connect(host, int(port))
    except OSError as error:
        raise JobError(
            f"{option}: nobody answers at {address} ({error.strerror or error}); start the cluster's head, or give the "
            "address that `ray start --head` has shown"
        ) from None
    if not _is_head(address):
        raise JobError(f"{option}: what answers at {address} is no head of a Ray cluster; its port is 6379 by default")


def _connect(host: str, port: int) -> None:
    socket.create_connection((host.strip("[]"), port), timeout=CONNECT_SECONDS).close()


def _is_head(address: str) -> bool:
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    answered = threading.Event()

    def ask() -> None:
        try:
            GcsClient(address=address)
        except Exception:  # What it is, joining the cluster will tell; here it counts that something comes.
            return
        answered.set()

    # It waits for longer than a person would, and cannot be interrupted.
    thread = threading.Thread(target=ask, name="head", daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    return answered.is_set()


class HeadWatch:
    """Calls a cluster's head every few seconds, in a thread of its own, while its ``with`` block lasts.

    ``address`` is ``host:port``; an empty one is never called, and never lost.
    """

    def __init__(self, address: str = "") -> None:
        self._address = address
        self._answered = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._call, name="head", daemon=True)

    @property
    def fault(self) -> str:
        """That the head is lost, and what follows; empty as long as it may be chance."""
        silent = time.monotonic() - self._answered
        if not self._address or silent < LOST_SECONDS:
            return ""
        return (
            f"the cluster's head at {self._address} has not answered for {silent:.0f} s: it is lost, and the cluster "
            "with it. What was finished is kept; start a cluster, and the same command goes on"
        )

    def __enter__(self) -> "HeadWatch":
        if self._address:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()

    def _call(self) -> None:
        host, _, port = self._address.rpartition(":")
        while not self._ended.wait(SECONDS_BETWEEN_CALLS):
            try:
                _connect(host, int(port))
            except OSError:
                continue
            self._answered = time.monotonic()
