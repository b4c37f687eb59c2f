"""What is shipped: the wheel, the image, the citation."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content in a folder of its own, far from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in tracked.rstrip("\0").split("\0"):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).symlink_to(ROOT / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_the_model_and_runs_from_any_folder(installed: Path, tmp_path: Path) -> None:
    code = "import sys; from jobs.cli.commands import midi_valle; sys.argv[0] = 'midi-valle'; midi_valle()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "models", "list"],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(installed), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "mini (bundled, 3" in ran.stdout and str(installed) in ran.stdout


def test_the_wheel_holds_every_module_and_no_test(installed: Path) -> None:
    modules = {path.relative_to(installed) for path in installed.rglob("*.py")}
    assert modules == {
        path.relative_to(ROOT) for package in ("schemas", "renderer", "jobs") for path in (ROOT / package).rglob("*.py")
    }


def test_the_wheel_holds_what_the_report_s_page_is_made_of(installed: Path) -> None:
    pages = [*(ROOT / "jobs/inspect/page").iterdir(), ROOT / "jobs/pictures/player.js"]
    parts = [path.relative_to(ROOT) for path in pages]
    assert len(parts) == 5 and all((installed / path).read_bytes() == (ROOT / path).read_bytes() for path in parts)


def test_the_image_is_built_of_what_is_there_and_does_not_run_as_root() -> None:
    lines = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text("utf-8")).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    copied = [word for name, rest in steps if name == "COPY" for word in rest.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for name in copied:
        assert (ROOT / name).exists() and f"!{name}" in ignored, name
    assert [rest for name, rest in steps if name == "USER"] == ["render"]
    assert all(
        "--constraint constraints.txt" in rest or "--no-deps" in rest for _, rest in steps if "pip install" in rest
    )
    (entry,) = (rest for name, rest in steps if name == "ENTRYPOINT")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert entry == '["render-corpus"]' and "render-corpus" in project["scripts"]


def test_the_citation_names_the_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (citation["title"], citation["version"]) == (project["name"], project["version"])
    assert citation["license"] == project["license"]
    assert citation["references"][0]["identifiers"][0]["value"] == "arXiv:2507.08530"


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = {
        line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()
    }
    wanted = [
        *project["dependencies"],
        *(name for names in project["optional-dependencies"].values() for name in names),
    ]
    names = {re.split(r"[\[<>=]", name)[0].lower().replace("_", "-") for name in wanted} - {project["name"]}
    assert names <= pins, names - pins


def test_workflows_are_yaml_that_calls_what_is_there() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text("utf-8"))
        steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
        assert all(("run" in step) != ("uses" in step) for step in steps)
        for step in steps:
            for script in re.findall(r"^\.[\w/]+", step.get("run", ""), flags=re.M):
                assert (ROOT / script).is_file()
