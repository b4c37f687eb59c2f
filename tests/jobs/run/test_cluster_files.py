"""ray_cluster.yaml and examples/rayjob.yaml, checked without a cloud."""

import copy
import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import typer
import yaml

from jobs.cli.commands import midi_valle_app
from jobs.cli.render import render_app

ROOT = Path(__file__).parents[3]
FILES = ("ray_cluster.yaml", "examples/rayjob.yaml")


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def command_lines(name: str) -> list[str]:
    """All calls of our commands in a file, comments included."""
    text = re.sub(r"\\?\n#? +", " ", (ROOT / name).read_text())
    return [found.strip() for found in re.findall(r"(?:render-corpus s3|midi-valle)[^'|\n]*", text)]


def prepared_cluster() -> dict[str, Any]:
    from ray.autoscaler._private.util import prepare_config

    config: dict[str, Any] = prepare_config(load("ray_cluster.yaml"))
    return config


def test_rays_schema_and_checks_accept_the_cluster_file() -> None:
    from ray.autoscaler._private.util import validate_config

    schema = json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())
    assert list(jsonschema.Draft7Validator(schema).iter_errors(load("ray_cluster.yaml"))) == []
    validate_config(prepared_cluster())
    mistyped = load("ray_cluster.yaml") | {"min_workers": 1}
    assert not jsonschema.Draft7Validator(schema).is_valid(mistyped)  # So the schema is strict.


def test_what_the_cluster_file_installs_exists() -> None:
    cluster = load("ray_cluster.yaml")
    mounts = {remote: local for remote, local in cluster["file_mounts"].items() if not local.startswith("~")}
    assert len(mounts) == 7 and all((ROOT / local).exists() for local in mounts.values())
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in command for command in cluster["setup_commands"])
    version = re.search(r"ray\[default\]==([\d.]+)", (ROOT / "ray_cluster.yaml").read_text())
    assert version and f"\nray=={version[1]}\n" in (ROOT / "constraints.txt").read_text()
    assert load("examples/rayjob.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == version[1]


def test_the_gpus_that_the_commands_ask_for_are_those_that_the_clusters_may_have() -> None:
    for name in FILES:
        (gpus,) = {int(found[1]) for found in re.finditer(r"--gpus (\d+)", (ROOT / name).read_text())}
        if name == "ray_cluster.yaml":
            assert load(name)["max_workers"] == load(name)["available_node_types"]["gpu8"]["max_workers"]
            assert gpus == 8 * load(name)["max_workers"]
        else:
            (group,) = load(name)["spec"]["rayClusterSpec"]["workerGroupSpecs"]
            (container,) = group["template"]["spec"]["containers"]
            assert gpus == group["maxReplicas"] * int(container["resources"]["limits"]["nvidia.com/gpu"])


@pytest.mark.parametrize("name", FILES)
def test_every_command_in_the_files_has_options_that_exist(name: str) -> None:
    lines = command_lines(name)
    assert lines and any(line.startswith("render-corpus") for line in lines)
    for line in lines:
        program, *arguments = shlex.split(line)
        app = {"render-corpus": render_app, "midi-valle": midi_valle_app()}[program]
        command: Any = typer.main.get_command(app)
        if program == "midi-valle":
            verb, *arguments = arguments
            command = command.commands[verb]
        values = command.make_context(program, arguments).params
        if program == "render-corpus":
            assert values["gpus"] and values["ray_address"] == "auto" and values["out"].startswith("s3://")


def test_the_commands_of_ray_in_the_cluster_file_have_options_that_exist() -> None:
    from ray.scripts.scripts import cli

    text = re.sub(r"\\\n# +", "", (ROOT / "ray_cluster.yaml").read_text())
    lines = re.findall(r"^#   (ray .*)$", text, re.MULTILINE)
    assert len(lines) == 6
    for line in lines:
        verb, *arguments = shlex.split(line.partition(" > ")[0].partition("   ")[0])[1:]
        cli.commands[verb].make_context(verb, arguments)


def test_the_job_of_kubernetes_has_a_token_memory_to_share_and_retries() -> None:
    spec = load("examples/rayjob.yaml")["spec"]
    cluster = spec["rayClusterSpec"]
    assert spec["backoffLimit"] > 0 and cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] and cluster["workerGroupSpecs"][0]["minReplicas"] == 0
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (container,), (volume,) = pod["containers"], pod["volumes"]
        assert pod["serviceAccountName"] == "render-corpus" and volume["emptyDir"]["medium"] == "Memory"
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/dev/shm"}]


def test_a_finished_run_with_failed_items_is_no_failure_of_the_job(tmp_path: Path) -> None:
    import os
    import subprocess

    entrypoint = load("examples/rayjob.yaml")["spec"]["entrypoint"]
    for code, expected in ((0, 0), (3, 0), (1, 1), (130, 1)):
        command = tmp_path / "render-corpus"
        command.write_text(f"#!/bin/sh\nexit {code}\n")
        command.chmod(0o755)
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        assert subprocess.run(shlex.split(entrypoint), env=environment, check=False).returncode == expected


def test_rays_aws_provider_makes_of_it_a_head_and_spot_workers_with_their_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3
    from moto import mock_aws

    monkeypatch.setenv("HOME", str(tmp_path))  # Ray puts the cluster's key into ~/.ssh.
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        from ray.autoscaler._private.aws import utils
        from ray.autoscaler._private.aws.config import bootstrap_aws
        from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
        from ray.autoscaler.tags import TAG_RAY_USER_NODE_TYPE

        utils.resource_cache.cache_clear()
        utils.client_cache.cache_clear()
        region = load("ray_cluster.yaml")["provider"]["region"]
        ec2 = boto3.client("ec2", region)
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        for profile in ("render-corpus-head", "render-corpus-worker"):
            boto3.client("iam").create_instance_profile(InstanceProfileName=profile)

        config = prepared_cluster()
        for node_type in config["available_node_types"].values():
            assert node_type["node_config"]["ImageId"] == "ami-REPLACE-ME"
            node_type["node_config"]["ImageId"] = image
        config = bootstrap_aws(AWSNodeProvider.fillout_available_node_types_resources(config))
        types = config["available_node_types"]
        assert types["head"]["resources"]["CPU"] == 0 and types["head"]["resources"]["GPU"] == 0
        assert types["gpu8"]["resources"]["GPU"] == 8 and types["gpu8"]["resources"]["CPU"] == 192

        provider = AWSNodeProvider(config["provider"], config["cluster_name"])
        for name, node_type in types.items():
            provider.create_node(copy.deepcopy(node_type["node_config"]), {TAG_RAY_USER_NODE_TYPE: name}, 1)
        instances = [instance for each in ec2.describe_instances()["Reservations"] for instance in each["Instances"]]
    found = {
        instance["InstanceType"]: (
            instance["IamInstanceProfile"]["Arn"].partition("/")[2],
            instance.get("InstanceLifecycle"),
        )
        for instance in instances
    }
    assert found == {
        "m6i.2xlarge": ("render-corpus-head", None),
        "g5.48xlarge": ("render-corpus-worker", "spot"),
    }
