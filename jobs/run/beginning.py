"""How a run begins: anew, where an earlier session stopped, with more rows than it had, or in place of another."""

import sys
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobs.console import confirmed, say
from jobs.errors import JobError
from jobs.run.plan import plan_shards
from jobs.run.preflight import Job
from jobs.run_directory.lease import Lease
from jobs.run_directory.run_directory import STATE_FOLDER, RunDirectory
from schemas.run import Run, Shard

OPTIONS_KEY = f"{STATE_FOLDER}/options.toml"


@dataclass(frozen=True, eq=False)
class Beginning:
    """A job with the shards it has from now on, and what there was in its folder before."""

    job: Job
    before: Run | None
    warnings: Sequence[str] = ()

    def write(self, directory: RunDirectory) -> None:
        """Write run.json, if it is not there already as it must be, and what was asked for this time.

        The caller has the run's lease.
        """
        if self.before is None:
            directory.storage.check(f"{STATE_FOLDER}/probe-{uuid.uuid4().hex}")
            directory.start(self.job.run)
        elif self.before != self.job.run:
            directory.change(self.before, self.job.run)
        directory.storage.write(OPTIONS_KEY, self.job.options.to_toml().encode())


def find_beginning(job: Job, directory: RunDirectory) -> Beginning:
    """Compare a job with what lies in its folder; JobError if they do not go together. Nothing is written."""
    before = directory.existing()
    if before is None:
        return Beginning(job, None)
    extend = job.options.extend
    warnings = directory.check_same(before, job.run, job.options.shard_items, extend)
    known = _extended(before, job, directory.storage.uri) if extend else before
    # The same files may have moved since.
    run = replace(known, manifest_path=job.run.manifest_path, prompts_path=job.run.prompts_path)
    return Beginning(replace(job, run=run), before, warnings)


def _extended(before: Run, job: Job, place: str) -> Run:
    """The run with shards for the rows that the manifest has beyond it; the shards it has stay as they are."""
    if job.manifest.row_count < before.items or job.manifest.rows_sha256(before.items) != before.rows_sha256:
        raise JobError(
            f"{place}: --extend goes on with a manifest to which rows were only appended, but the first "
            f"{before.items:,} rows are not those of the run begun {before.created}; choose another --out"
        )
    added = plan_shards(job.run.items - before.items, job.actors, before.shards[0].row_count)
    shards = (Shard(len(before.shards) + s.index, before.items + s.first_row, s.row_count) for s in added)
    return replace(
        before,
        manifest_sha256=job.run.manifest_sha256,
        manifest_rows=job.run.manifest_rows,
        rows_sha256=job.run.rows_sha256,
        shards=(*before.shards, *shards),
    )


def overwrite(directory: RunDirectory, yes: bool) -> bool:
    """Delete the run in a folder, after asking; JobError if nobody says yes. False if there is none."""
    run = directory.existing()
    if run is None:
        return False
    keys = directory.own_keys(run)
    folders = Counter(key.rpartition("/")[0].partition("/")[0] for key in keys)
    listed = ", ".join(f"{count:,} in {folder}" for folder, count in sorted(folders.items()) if folder)
    what = f"--overwrite deletes {len(keys):,} objects of the run in {directory.storage.uri} ({listed})"
    if not yes:
        if not sys.stdin.isatty():
            raise JobError(f"{what}: add --yes if that is what you want")
        if not confirmed(f"{what}. Delete them?"):
            raise JobError("nothing was deleted")
    lease = Lease(directory.storage)
    lease.acquire(say)
    try:
        if directory.own_keys(run) != keys:
            raise JobError(f"{directory.storage.uri}: the run has changed in the meantime; run the command again")
        say(what)
        for key in keys:
            directory.storage.delete(key)
            lease.renew()
    finally:
        lease.release()
    return True
