"""AWS's own Python client, for a test in another venv: client.py URL VERB ARGUMENTS; answers are lines of JSON."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import boto3
from aws_kinesis_agg.deaggregator import deaggregate_records
from botocore.config import Config


class Client:
    """Its public methods are the verbs."""

    def __init__(self, url: str):
        self._url = url

    def _service(self, name: str) -> Any:
        config = Config(retries={"max_attempts": 0}, read_timeout=60, s3={"addressing_style": "path"})
        return boto3.client(
            name, endpoint_url=self._url, region_name="us-east-1", config=config,
            aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        )  # fmt: skip

    def create(self, stream: str, shards: str) -> None:
        """Makes a stream and waits until it can be used."""
        kinesis = self._service("kinesis")
        kinesis.create_stream(StreamName=stream, ShardCount=int(shards))
        kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})

    def split(self, stream: str) -> None:
        """Splits the first open shard in the middle."""
        kinesis = self._service("kinesis")
        shards = kinesis.list_shards(StreamName=stream)["Shards"]
        shard = next(s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"])
        start, end = (int(shard["HashKeyRange"][f"{which}HashKey"]) for which in ("Starting", "Ending"))
        kinesis.split_shard(
            StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str((start + end) // 2)
        )

    def read(self, stream: str) -> None:
        """Every record of every shard, a parent's before its children's."""
        kinesis = self._service("kinesis")
        for shard in sorted(kinesis.list_shards(StreamName=stream)["Shards"], key=lambda s: s["ShardId"]):
            place = kinesis.get_shard_iterator(
                StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while place:
                answer = kinesis.get_records(ShardIterator=place, Limit=1000)
                self._show(shard, answer["Records"])
                place = answer.get("NextShardIterator")
                if not answer["Records"] and not answer.get("MillisBehindLatest"):
                    break

    @staticmethod
    def _show(shard: dict[str, Any], records: list[dict[str, Any]]) -> None:
        """Prints records, those in an aggregate one by one, as the KCL does: all of it or, outside the shard, none."""
        for record in records:
            raw = {**record, "kinesis": {**_lower(record), "data": base64.b64encode(record["Data"])}}
            for inner in deaggregate_records([raw]):
                part = inner["kinesis"]
                line = {
                    "shard": shard["ShardId"],
                    "sequence": record["SequenceNumber"],
                    "key": part["partitionKey"],
                    "hash": part.get("explicitHashKey"),
                    "data": part["data"].decode(),
                    "aggregated": part.get("aggregated", False),
                    "range": [shard["HashKeyRange"]["StartingHashKey"], shard["HashKeyRange"]["EndingHashKey"]],
                }
                print(json.dumps(line))

    def create_delivery(self, stream: str) -> None:
        """Makes a delivery stream into a bucket of the same name."""
        self._service("s3").create_bucket(Bucket=stream)
        target = {"RoleARN": "arn:aws:iam::123456789012:role/r", "BucketARN": f"arn:aws:s3:::{stream}"}
        self._service("firehose").create_delivery_stream(
            DeliveryStreamName=stream, DeliveryStreamType="DirectPut", ExtendedS3DestinationConfiguration=target
        )

    def read_delivery(self, stream: str) -> None:
        """What was delivered: the objects, each as a line."""
        s3 = self._service("s3")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=stream):
            for item in page.get("Contents", []):
                body = s3.get_object(Bucket=stream, Key=item["Key"])["Body"].read()
                print(json.dumps({"data": base64.b64encode(body).decode()}))


def _lower(record: dict[str, Any]) -> dict[str, Any]:
    """A record's members as events of Lambda name them, which is what the de-aggregator takes."""
    return {
        "kinesisSchemaVersion": "1.0",
        "sequenceNumber": record["SequenceNumber"],
        "approximateArrivalTimestamp": 0,
        "partitionKey": record["PartitionKey"],
    }


if __name__ == "__main__":
    _url, _verb, *_arguments = sys.argv[1:]
    getattr(Client(_url), _verb)(*_arguments)
