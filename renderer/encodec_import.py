"""The only place that imports the package `encodec`.

`encodec` imports torchaudio, which it needs to resample and to read files; we do neither with it. PyPI's
wheels of torchaudio need CUDA libraries, so beside a CPU build of torch that import fails. Then an empty
module stands in for torchaudio while `encodec` is imported, and is taken away again.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def _something_called_torchaudio() -> Iterator[None]:
    try:
        importlib.import_module("torchaudio")
    except (ImportError, OSError):
        sys.modules["torchaudio"] = ModuleType("torchaudio")
        try:
            yield
        finally:
            del sys.modules["torchaudio"]
    else:
        yield


with _something_called_torchaudio():
    from encodec.modules.seanet import SEANetDecoder, SEANetEncoder
    from encodec.quantization.vq import ResidualVectorQuantizer

__all__ = ["ResidualVectorQuantizer", "SEANetDecoder", "SEANetEncoder"]
