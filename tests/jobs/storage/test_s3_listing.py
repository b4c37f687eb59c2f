"""Pages of listings that are read without botocore's parser say what it would say."""

from typing import Any

import boto3
import pytest

from jobs.storage import S3Access
from jobs.storage.s3_storage import S3Storage
from tests.jobs.support.memory_s3 import running_memory_s3

NAMES = ["plain", "with space", "plus+and%20", "été é", "a&b<c>\"'", "deep/er", "日本"]
TOLD = ("Key", "ETag", "Size", "LastModified")


def output(client: Any, prefix: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    page = client.list_objects_v2(Bucket="corpus", Prefix=prefix, MaxKeys=4)
    entries = [{name: entry[name] for name in TOLD} for entry in page.pop("Contents", [])]
    return entries, {name: page[name] for name in ("IsTruncated", "KeyCount", "Name", "Prefix") if name in page}


def test_a_page_is_what_botocore_makes_of_it() -> None:
    with running_memory_s3() as server:
        storage = S3Storage.at("s3://corpus/run", S3Access(server.endpoint))
        for number, name in enumerate(NAMES):
            storage.write(name, bytes(number))
        ours, _ = S3Access(server.endpoint).client()
        theirs = boto3.client("s3", endpoint_url=server.endpoint, region_name="us-east-1")
        for prefix in ("run/", "run/p", "run/none"):
            assert output(ours, prefix) == output(theirs, prefix)
        assert sorted(storage.keys()) == sorted(NAMES)


def test_an_error_in_place_of_a_page_is_reported_as_ever() -> None:
    with running_memory_s3(demanded={"x-pay": "yes"}) as server:
        client, _ = S3Access(server.endpoint).client()
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            client.list_objects_v2(Bucket="corpus")
