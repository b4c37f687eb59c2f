"""What Ray asks of a machine: a short folder for its sockets, a token, loopback, memory, modules that are ours.

Where one of these is missing Ray waits without end, or aborts: so all is looked at before Ray is started.
"""

import os
import resource
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.errors import JobError

_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
_SESSION_BYTES = len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1")
"""What Ray adds to its folder before it has the name of a socket."""

_ADDRESS_SPACE_BYTES = 8 << 30
"""Stacks and arenas of Ray's threads are address space that is never used: a driver alone reserves 2 to 4 GiB."""

_START_SECONDS = 120
"""So long Ray's own processes may take to find one another; its 30 s are too few on a machine that is busy."""

_TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE")
_ANSWER_SECONDS = 5.0


def check_machine() -> None:
    """JobError if Ray's processes cannot talk to one another here, or have too little memory."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise JobError(
            f"the loopback interface does not work ({error.strerror or error}): Ray's processes cannot talk to one "
            "another over 127.0.0.1; switch it on, as with: ip link set lo up"
        ) from None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < _ADDRESS_SPACE_BYTES:
        raise JobError(
            f"each process may have {limit / 2**30:.1f} GiB of address space (ulimit -v), and Ray's need "
            f"{_ADDRESS_SPACE_BYTES / 2**30:.0f}, most of which is never used; raise the limit, as with: "
            "ulimit -v unlimited"
        )


def short_folder() -> str:
    """Where a Ray of our own keeps its sockets: its usual place, or where that is too long a name, a shorter one.

    JobError if there is none.
    """
    usual = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    for folder in dict.fromkeys((usual, "/tmp", "/var/tmp", "/dev/shm")):
        if len(os.fsencode(folder)) + _SESSION_BYTES <= _SOCKET_BYTES and os.access(folder, os.W_OK | os.X_OK):
            return str(Path(folder) / "ray")
    raise JobError(
        f"the folder for temporary files, {usual}, has too long a name for Ray's sockets, or cannot be written, as "
        f"/tmp cannot; set RAY_TMPDIR to a folder whose path has {_SOCKET_BYTES - _SESSION_BYTES} bytes at most"
    )


def ensure_token() -> None:
    """Give a Ray of our own a token in this process's environment where the home folder cannot keep one."""
    if any(name in os.environ for name in _TOKEN_VARIABLES):
        return
    try:
        folder = Path.home() / ".ray"
        folder.mkdir(parents=True, exist_ok=True)
        kept = (folder / "auth_token").is_file() or os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # RuntimeError: nobody knows the user's home.
        kept = False
    if not kept:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def be_patient() -> None:
    """Let a Ray that is started from now on have the time that a busy machine needs."""
    os.environ.setdefault("RAY_raylet_start_wait_time_s", str(_START_SECONDS))


@contextmanager
def working_in_our_folder() -> Iterator[None]:
    """Work where this package lies while Ray is started or joined.

    Ray has every worker look for modules in the driver's folder first, before installed ones and Python's own: a
    user's ``renderer.py`` or ``queue.py`` there would be taken for what we import.
    """
    before = Path.cwd()
    os.chdir(Path(__file__).parent.parent)
    try:
        yield
    finally:
        os.chdir(before)
