"""The rooms of the house: which may use which. No arrow runs back up, and none makes a circle."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "renderer", "jobs")
FOREIGN = {
    "schemas": {"ray", "boto3", "botocore", "typer", "torch", "soundfile", "soxr", "miditoolkit", "mido", "encodec"},
    "renderer": {"ray", "boto3", "botocore", "typer", "pyarrow"},
    "jobs": set[str](),
}
"""What a package must not import."""


def imports() -> Iterator[tuple[str, str]]:
    """Every import of a module by a module, those inside functions too."""
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        importer = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                yield from ((importer, f"{node.module}.{name.name}") for name in node.names)
            elif isinstance(node, ast.Import):
                yield from ((importer, name.name) for name in node.names)


def room(module: str) -> str:
    """A folder of a package, or a file that stands at its top."""
    return ".".join(module.split(".")[:2])


def test_no_package_knows_what_is_not_its_business() -> None:
    wrong = [(importer, name) for importer, name in imports() if name.split(".")[0] in FOREIGN[importer.split(".")[0]]]
    assert wrong == []


def test_renderer_and_schemas_know_nothing_of_jobs_nor_of_each_other() -> None:
    allowed = {"schemas": {"schemas"}, "renderer": {"renderer"}, "jobs": set(PACKAGES)}
    ours = [(importer, name) for importer, name in imports() if name.split(".")[0] in PACKAGES]
    assert [pair for pair in ours if pair[1].split(".")[0] not in allowed[pair[0].split(".")[0]]] == []


def test_nothing_but_the_commands_knows_typer() -> None:
    assert {room(importer) for importer, name in imports() if name.split(".")[0] == "typer"} == {"jobs.cli"}


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_do_not_use_one_another_in_a_circle(package: str) -> None:
    check_no_circle(
        # The package's own file hands names on; it is not a room.
        (room(importer), room(name))
        for importer, name in imports()
        if importer != package and name.startswith(f"{package}.")
    )


def test_files_do_not_use_one_another_in_a_circle() -> None:
    files = {importer for importer, _ in imports()} - set(PACKAGES)
    check_no_circle(
        (importer, used)
        for importer, name in imports()
        for used in {name, name.rpartition(".")[0]} & files
        if importer != used
    )


def check_no_circle(pairs: Iterable[tuple[str, str]]) -> None:
    uses = defaultdict(set)
    for user, used in pairs:
        if user != used:
            uses[user].add(used)
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        pytest.fail(f"these use one another: {' -> '.join(error.args[1])}")
