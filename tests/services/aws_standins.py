"""Kinesis and Firehose as others wrote them, and AWS's own client to read them back."""

from __future__ import annotations

import base64
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from services.runtime import HERE, Process, ServiceError, free_port, installed

_TIMES = ("CREATE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS", "UPDATE_SHARD_COUNT")


class UserRecord(NamedTuple):
    """One event as a reader finds it, taken out of its aggregate where it was in one."""

    shard: str
    sequence: str
    key: str
    hash: str | None  # explicit hash key, of those in aggregates
    data: bytes
    aggregated: bool
    range: tuple[int, int]  # hash keys of the shard


def _python() -> Path:
    version = f"Python {platform.python_version()}\n".encode()
    return installed("aws-python", "aws/requirements.txt", version) / "bin" / "python"


def _package(name: str) -> Path:
    return installed("aws-node", "aws/package-lock.json") / "node_modules" / name


class AwsStandIn(Process):
    """A server at `.url`, on this host without TLS; made and read by boto3."""

    def __init__(self, name: str, run_dir: Path | None = None):
        super().__init__(name, run_dir=run_dir)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def _ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self, verb: str, *arguments: str) -> list[dict[str, Any]]:
        """Runs a verb of aws/client.py; its lines."""
        done = subprocess.run(
            [_python(), HERE / "aws" / "client.py", self.url, verb, *arguments],
            text=True, capture_output=True, timeout=120, check=False,
            env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull},
        )  # fmt: skip
        if done.returncode or done.stderr:
            raise ServiceError(f"{self.name}: {verb}: {done.stderr[-1500:]}{self.tail()}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def create(self, stream: str, shards: int) -> None:
        """Makes a stream."""
        self.client("create", stream, str(shards))

    def split(self, stream: str) -> None:
        """Splits its first open shard."""
        self.client("split", stream)

    def read(self, stream: str) -> list[UserRecord]:
        """All of it, shard after shard, in each in the order of storing."""
        return [
            UserRecord(
                line["shard"], line["sequence"], line["key"], line["hash"], base64.b64decode(line["data"]),
                line["aggregated"], (int(line["range"][0]), int(line["range"][1])),
            )
            for line in self.client("read", stream)
        ]  # fmt: skip


class Moto(AwsStandIn):
    """moto, which has Firehose into S3, too."""

    def __init__(self, run_dir: Path | None = None):
        super().__init__("moto", run_dir)
        self.argv = [str(_python()), str(HERE / "aws" / "moto_server.py"), str(self.port)]

    def create_delivery(self, stream: str) -> None:
        """Makes a delivery stream."""
        self.client("create_delivery", stream)

    def read_delivery(self, stream: str) -> list[bytes]:
        """The objects it delivered."""
        return [base64.b64decode(line["data"]) for line in self.client("read_delivery", stream)]


class Kinesalite(AwsStandIn):
    """kinesalite; what it stored survives kill -9."""

    def __init__(self, run_dir: Path | None = None):
        super().__init__("kinesalite", run_dir)
        self.argv = [
            _node(), "-r", str(HERE / "aws" / "stay.js"), str(_package("kinesalite") / "cli.js"),
            "--port", str(self.port), "--path", str(self.dir / "data"),
            "--createStreamMs", "50", "--updateStreamMs", "50", "--shardLimit", "500",
        ]  # fmt: skip


class KinesisLocal(AwsStandIn):
    """kinesis-local. It grows slow with the records in a shard: some hundreds, not thousands."""

    stop_signal = signal.SIGKILL  # it knows no other, and keeps nothing

    def __init__(self, run_dir: Path | None = None):
        super().__init__("kinesis-local", run_dir)
        package = _package("kinesis-local")
        self.argv = [_node(), str(package / "main.js")]
        self.env = {
            "KINESIS_MOCK_PLAIN_PORT": str(self.port),
            "KINESIS_MOCK_TLS_PORT": str(free_port()),
            "KINESIS_MOCK_CERT_PATH": str(package / "server.json"),
            "SHARD_LIMIT": "500",
            **{f"{what}_DURATION": "50ms" for what in _TIMES},
        }


def _node() -> str:
    node = shutil.which("node")
    if not node:
        raise ServiceError("there is no node here")
    return node
