"""What every worker must have as its driver has it: the same code, the same torch and Ray, the same model."""

import hashlib
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from jobs.errors import JobError
from jobs.run_directory.run_directory import RunDirectory
from jobs.shard.backend import Backend
from jobs.storage import Storage
from renderer.midi.midi_file import READING
from schemas.run import MIDI_READING, Run

PACKAGE = "render-corpus"
SHARED = (PACKAGE, "torch", "ray")
RECORDED = (*SHARED, "numpy", "soundfile")
CODE = ("jobs", "renderer", "schemas")
SHOWN_HASH = 12


class DisagreementError(JobError):
    """A worker that would render something else than its driver's run."""


def versions() -> dict[str, str]:
    """The versions of Python, of the packages and of the reading of MIDI that decide what is rendered: run.json's."""
    found = {"python": platform.python_version()} | {package: version_of(package) for package in RECORDED}
    return found | {MIDI_READING: str(READING)}


def version_of(package: str) -> str:
    """A package's version here."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def code_hash() -> str:
    """SHA-256 of this package's own modules: two copies of one version may differ."""
    root, digest = Path(__file__).parents[2], hashlib.sha256()
    for path in sorted(path for folder in CODE for path in (root / folder).rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@dataclass(frozen=True)
class Agreement:
    """What a driver has; it travels to the workers.

    Versions are those of the driver, not of run.json: a run that was begun with other ones may go on, and says so.
    """

    versions: Mapping[str, str]
    code: str

    @classmethod
    def of_this_process(cls) -> "Agreement":
        """What there is here."""
        return cls({package: version_of(package) for package in SHARED}, code_hash())

    def check(self, run: Run, backend: Backend, storage: Storage) -> None:
        """DisagreementError that says what differs here from the driver and the run, and what to do."""
        here = self.differences(Agreement.of_this_process())
        if problems := [*here, *_other_model(run, backend), *_other_folder(run, storage)]:
            raise DisagreementError("; ".join(problems))

    def differences(self, here: "Agreement") -> Iterator[str]:
        """Each thing in which ``here`` is not as the driver is. Builds of torch for a CPU and for GPUs go together."""
        for name in SHARED:
            theirs, ours = here.versions[name], self.versions[name]
            is_same = here.code == self.code if name == PACKAGE else theirs.split("+")[0] == ours.split("+")[0]
            if is_same:
                continue
            if theirs == ours:
                yield f"its copy of {name} {ours} is another than the driver's; install the driver's there"
            else:
                yield f"{name} is {theirs} there and {ours} at the driver; install the driver's version there"


def _other_model(run: Run, backend: Backend) -> Iterator[str]:
    found = backend.describe().model_hash
    if found != run.model_hash:
        yield (
            f"its model {run.model_id} is another than the run's (hash {found[:SHOWN_HASH]} there, "
            f"{run.model_hash[:SHOWN_HASH]} in run.json); put the same files there, or name a model on S3"
        )


def _other_folder(run: Run, storage: Storage) -> Iterator[str]:
    found = RunDirectory(storage).existing()
    if found is None or found.created != run.created:
        yield (
            f"{storage.uri} there is not the driver's folder, so what is rendered would be lost; "
            "let --out be on S3, or on a disk that all nodes have"
        )
