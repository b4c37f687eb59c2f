"""What is asked of a node, there. It travels by value, so that a node answers which has not even this package.

So it imports nothing of ours before it is known that this is there.
"""

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

TORCH = """
import json, torch
names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
print(json.dumps({"torch": torch.__version__, "gpus": names}))
"""
TORCH_SECONDS = 120.0


class NodeProbe:
    """Answers in plain values; what cannot be had is said under ``errors``, by what it is."""

    def now(self) -> float:
        """The clock there, in seconds since the epoch."""
        return time.time()

    def facts(self, question: bytes) -> dict[str, Any]:
        """All that a run needs to know of this node. ``question`` is a pickled ``jobs.run.cluster_check.Question``."""
        found: dict[str, Any] = {"host": socket.gethostname(), "errors": {}}
        found["free_bytes"] = shutil.disk_usage(tempfile.gettempdir()).free
        self._try(found, "torch", self._torch)
        self._try(found, "package", lambda: self._package(question))
        return found

    def _try(self, found: dict[str, Any], what: str, ask: Callable[[], dict[str, Any]]) -> None:
        try:
            found |= ask()
        except Exception as error:  # Whatever it is, it is the answer.
            found["errors"][what] = f"{type(error).__name__}: {error}".splitlines()[0]

    def _torch(self) -> dict[str, Any]:
        """Its version and the GPUs it sees, in a process to which Ray hides none."""
        visible = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        ran = subprocess.run(
            [sys.executable, "-c", TORCH],
            env=visible,
            capture_output=True,
            text=True,
            timeout=TORCH_SECONDS,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError((ran.stderr.strip().splitlines() or ["it ended without a word"])[-1])
        answer: dict[str, Any] = json.loads(ran.stdout)
        return answer

    def _package(self, question: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = pickle.loads(question).answers()
        return answer
