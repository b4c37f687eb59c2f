"""``midi-valle manifest``: what is to be rendered."""

import typer

from jobs.cli.from_options import takes
from jobs.manifests.build_options import BuildOptions

manifest_app = typer.Typer(help="Make manifests.", no_args_is_help=True)


@manifest_app.command("build")
@takes(BuildOptions)
def build_manifest(options: BuildOptions) -> int:
    """Make a manifest of MIDI files: folders, S3 prefixes, patterns, or datasets by their tables.

    Each file is read: what cannot be rendered is left out, and the table beside the manifest says why.
    """
    from jobs.manifests.build_manifest import build_manifest

    typer.echo(f"{build_manifest(options):,} rows: {options.out}")
    return 0
