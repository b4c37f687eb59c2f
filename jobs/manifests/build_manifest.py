"""``midi-valle manifest build``: from MIDI files to a manifest, and a table of what is known of each file."""

import shlex
import tempfile
import time

from jobs.console import say
from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.manifests.build_options import BuildOptions
from jobs.manifests.build_output import BuildOutput
from jobs.manifests.catalogue import Catalogue
from jobs.manifests.manifest_build import ManifestBuild
from jobs.manifests.prompt_choice import PromptChoice
from jobs.manifests.survey import Surveyor
from jobs.storage import S3Access
from schemas.prompts import read_prompt_bank


def build_manifest(options: BuildOptions) -> int:
    """Build a manifest, and beside it the table of files; returns how many rows it has.

    The same sources, options and seed give the same bytes, whatever the number of processes. Both are written when
    all is read, the manifest last. JobError if there is nothing to write, or something in its place.
    """
    began = time.monotonic()
    inputs = Inputs(s3=S3Access(options.s3_endpoint_url))
    output = BuildOutput.at(options.out, inputs.s3)
    prompts = _prompt_choice(options, inputs)
    catalogue = Catalogue.of(options, inputs, output.folder)
    build = ManifestBuild(options, catalogue, prompts)
    try:
        with tempfile.TemporaryFile() as spool:
            build.read(Surveyor(inputs, options.pedal, options.excerpt), spool)
            took = time.monotonic() - began
            build.decide_splits()
            with output.writing(build.plan.schema(), catalogue.carried) as writer:
                build.write(spool, writer)
    except OSError as error:
        raise JobError(
            f"temporary files in {tempfile.gettempdir()} cannot be written: {error.strerror or error}; "
            "TMPDIR names another folder for them"
        ) from None
    for line in build.summary.lines(took):
        say(line)
    say(f"each file: {output.folder}/{output.files}")
    say(f"to render them: {_command(options, catalogue)}")
    return build.summary.rows.total()


def _prompt_choice(options: BuildOptions, inputs: Inputs) -> PromptChoice | None:
    """The prompts to give out; None if each file has its own. JobError if a bank has not what is asked for."""
    if options.prompt_column is not None:
        return None
    ids = list(options.prompt)
    if options.prompts is not None:
        bank = read_prompt_bank(inputs.local(options.prompts))
        ids = ids or list(bank)
        if unknown := [name for name in ids if name not in bank]:
            raise JobError(
                f"--prompt {unknown[0]}: {options.prompts} has no such prompt, but {', '.join(list(bank)[:10])}; "
                "leave --prompts out for a model's own prompts"
            )
    if options.prompts_each > len(ids):
        raise JobError(f"--prompts-each is {options.prompts_each}, but only {len(ids)} prompt(s) are given")
    return PromptChoice(ids, options.prompt_order, options.prompts_each, options.seed)


def _command(options: BuildOptions, catalogue: Catalogue) -> str:
    """What to type to render the manifest."""
    words = ["render-corpus", options.out]
    for root in catalogue.roots:
        words += ["--allow-root", root]
    if options.prompts is not None:
        words += ["--prompts", options.prompts]
    return shlex.join([*words, "--dry-run"])
