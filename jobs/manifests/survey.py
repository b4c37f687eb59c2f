"""Reading many MIDI files, on all cores: each is measured, or it is said why it cannot be rendered."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from tqdm import tqdm

from jobs.errors import InputError, JobError, UnavailableError
from jobs.inputs.inputs import Inputs, is_s3
from jobs.manifests.measures import Measures, measure
from jobs.storage import S3Access
from jobs.storage.s3_names import bucket_and_key
from jobs.storage.s3_storage import S3Storage
from jobs.worker_processes import worker_processes
from renderer.errors import MidiError
from renderer.midi.midi_file import DEFAULT_LIMITS, read_midi
from renderer.midi.notes import PedalPolicy

FILES_A_TASK = 16
TASKS_IN_LINE = 4
"""For each process: enough that none waits, and few enough that results do not pile up."""

FILES_IN_PARALLEL = 64
"""With fewer files, other processes would take longer to start than to work."""

REQUESTS_AT_ONCE = 16
"""Each process asks S3 for so many objects side by side."""


@dataclass(frozen=True)
class Surveyor:
    """Reads and measures files; a text is the reason why one cannot be rendered."""

    inputs: Inputs
    pedal: PedalPolicy
    excerpt: float | None

    def survey(self, locations: Sequence[str], processes: int) -> Iterator[Measures | str]:
        """What is found at each absolute location, in order, with a bar on a terminal. JobError if reading breaks."""
        tasks = (locations[start : start + FILES_A_TASK] for start in range(0, len(locations), FILES_A_TASK))
        read = map(self, tasks) if len(locations) < FILES_IN_PARALLEL else self._in_parallel(tasks, processes)
        with tqdm(total=len(locations), unit=" files", disable=None) as bar:
            for found in read:
                yield from found
                bar.update(len(found))

    def __call__(self, locations: Sequence[str]) -> list[Measures | str]:
        """Some files, those on S3 side by side."""
        if not any(map(is_s3, locations)):
            return [self._measured(self._content(location)) for location in locations]
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            return [self._measured(content) for content in pool.map(self._content, locations)]

    def _in_parallel(self, tasks: Iterator[Sequence[str]], processes: int) -> Iterator[list[Measures | str]]:
        pool = worker_processes(processes)
        try:
            waiting: deque[Future[list[Measures | str]]] = deque(
                pool.submit(self, task) for task in islice(tasks, processes * TASKS_IN_LINE)
            )
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(self, task) for task in islice(tasks, 1))
        except BrokenProcessPool:
            raise JobError(
                "a process that read MIDI files was killed, perhaps because memory ran out; try fewer --processes"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)

    def _content(self, location: str) -> bytes | str:
        """A file's bytes, or why they cannot be had. StorageError if S3 does not answer."""
        try:
            if is_s3(location):
                bucket, key = bucket_and_key(location)
                return _bucket(bucket, self.inputs.s3).read(key)
            with self.inputs.local(location).open("rb") as file:
                return file.read(DEFAULT_LIMITS.bytes + 1)
        except (UnavailableError, InputError) as error:
            return str(error)
        except (OSError, ValueError) as error:
            return f"the file cannot be read: {getattr(error, 'strerror', None) or error}"

    def _measured(self, content: bytes | str) -> Measures | str:
        if isinstance(content, str):
            return content
        try:
            return measure(read_midi(content, self.pedal), self.excerpt)
        except MidiError as error:
            return str(error)


@lru_cache
def _bucket(bucket: str, access: S3Access) -> S3Storage:
    """A process's connection, which all its tasks share."""
    return S3Storage(bucket, access=access)
