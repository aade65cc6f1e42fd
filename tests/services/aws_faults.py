"""Kinesis, Firehose and a credentials endpoint that fail on purpose, in threads of the test.

Signatures are checked by a signer of its own, with AWS's window of five minutes. What is stored stays in
order of storing; a fault is drawn by a seeded generator, so that a run can be had again.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from services.runtime import free_port

HASH_END = 1 << 128
WINDOW_S = 300


class Stored(NamedTuple):
    """One record of a shard."""

    shard: str
    sequence: str
    key: str
    data: bytes


class Shard:
    """A range of hash keys; closed once it was split."""

    def __init__(self, number: int, start: int, end: int):
        self.name, self.start, self.end = f"shardId-{number:012d}", start, end
        self.open = True


class AwsFaults:
    """Set the fields at any time; `stored` is what a reader would find, `lines` Firehose's bytes."""

    def __init__(self, seed: int = 1, shards: int = 2):
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.fail_record = 0.0  # share of records refused one by one
        self.fail_request = 0.0  # of requests answered 500 or 503, some of them after storing
        self.cut = 0.0  # of requests whose connection is cut, some of them after storing
        self.clock_s = 0  # this server's clock minus the machine's
        self.missing = False  # streams do not exist
        self.keys = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
        self.token: str | None = None  # session token that is good now
        self.token_life_s = 3600
        self.refused: list[str] = []  # names of errors it gave
        self.failures = 0
        self.handed_out = 0
        self.max_records = 0
        self.created: list[dict[str, Any]] = []
        self.stored: list[Stored] = []
        self.lines = b""
        self.shards = [Shard(i, HASH_END * i // shards, HASH_END * (i + 1) // shards) for i in range(shards)]
        self._sequence = 10**55
        self.port = free_port()
        owner = self

        class Handler(_Handler):
            faults = owner

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "AwsFaults":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def split(self, index: int = 0) -> None:
        """Splits the index-th open shard in two."""
        with self.lock:
            parent = [shard for shard in self.shards if shard.open][index]
            parent.open = False
            middle = (parent.start + parent.end) // 2
            for start, end in ((parent.start, middle), (middle, parent.end)):
                self.shards.append(Shard(len(self.shards), start, end))

    def new_token(self) -> None:
        """Expires the session token: requests signed with the old one are refused."""
        self.token = f"token-{self.random.random()}"

    # -- what it does with a request

    def put(self, body: dict[str, Any]) -> dict[str, Any]:
        """Kinesis PutRecords."""
        results = []
        for record in body["Records"]:
            data, key = base64.b64decode(record["Data"], validate=True), record["PartitionKey"]
            assert 1 <= len(key) <= 256 and len(data) + len(key.encode()) <= 1 << 20
            if self.random.random() < self.fail_record:
                self.failures += 1
                code = self.random.choice(["ProvisionedThroughputExceededException", "InternalFailure"])
                results.append({"ErrorCode": code, "ErrorMessage": "as told"})
                continue
            place = int(hashlib.md5(key.encode()).hexdigest(), 16)
            shard = next(s for s in self.shards if s.open and s.start <= place < s.end)
            self._sequence += self.random.randint(1, 1000)
            self.stored.append(Stored(shard.name, str(self._sequence), key, data))
            results.append({"SequenceNumber": str(self._sequence), "ShardId": shard.name})
        failed = sum("ErrorCode" in result for result in results)
        return {"FailedRecordCount": failed, "Records": results}

    def put_batch(self, body: dict[str, Any]) -> dict[str, Any]:
        """Firehose PutRecordBatch."""
        results = []
        for record in body["Records"]:
            data = base64.b64decode(record["Data"], validate=True)
            assert len(data) <= 1000 * 1024
            if self.random.random() < self.fail_record:
                self.failures += 1
                results.append({"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "as told"})
            else:
                self.lines += data
                results.append({"RecordId": str(len(self.lines))})
        return {"FailedPutCount": sum("ErrorCode" in r for r in results), "RequestResponses": results}

    def answer(self, target: str, body: dict[str, Any]) -> dict[str, Any]:
        """Carries out one signed request."""
        name = target.split(".")[1]
        if self.missing and name != "CreateStream":
            raise Refusal(400, "ResourceNotFoundException")
        if name in ("PutRecords", "PutRecordBatch"):
            self.max_records = max(self.max_records, len(body["Records"]))
            assert 1 <= len(body["Records"]) <= 500
            return self.put(body) if name == "PutRecords" else self.put_batch(body)
        if name == "DescribeStreamSummary":
            return {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE", "StreamName": body.get("StreamName")}}
        if name == "DescribeDeliveryStream":
            return {
                "DeliveryStreamDescription": {"DeliveryStreamStatus": "ACTIVE", "DeliveryStreamType": "DirectPut"}
            }
        if name == "CreateStream":
            self.created.append(body)
            self.missing = False
            return {}
        raise Refusal(400, "UnknownOperationException")

    def now(self) -> datetime.datetime:
        """This server's clock."""
        return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.clock_s)

    def check_signature(self, headers: Any, body: bytes) -> None:
        """Refuses what AWS would refuse."""
        if headers.get("X-Amz-Security-Token") != self.token:
            raise Refusal(400, "ExpiredTokenException", "The security token included in the request is expired")
        fields = dict(part.split("=", 1) for part in headers["Authorization"].split(" ", 1)[1].split(", "))
        key_id, day, region, service, _ = fields["Credential"].split("/")
        date = headers["X-Amz-Date"]
        stamp = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if key_id not in self.keys:
            raise Refusal(400, "UnrecognizedClientException")
        if abs((stamp - self.now()).total_seconds()) > WINDOW_S:
            now = self.now().strftime("%Y%m%dT%H%M%SZ")
            raise Refusal(400, "InvalidSignatureException", f"Signature expired: {date} is now earlier than {now}")
        names = fields["SignedHeaders"].split(";")
        lines = [f"{name}:{' '.join(headers[name].split())}" for name in names]
        canonical = "\n".join(["POST", "/", "", *lines, "", ";".join(names), hashlib.sha256(body).hexdigest()])
        scope = f"{day}/{region}/{service}/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.keys[key_id]).encode()
        for part in (day, region, service, "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        if hmac.new(key, text.encode(), hashlib.sha256).hexdigest() != fields["Signature"]:
            raise Refusal(403, "InvalidSignatureException", "The request signature we calculated does not match")

    def credentials(self) -> dict[str, Any]:
        """What a container's agent hands out."""
        self.handed_out += 1
        self.token = self.token or "token-0"
        expires = self.now() + datetime.timedelta(seconds=self.token_life_s)
        (key_id, secret), *_ = self.keys.items()
        return {
            "AccessKeyId": key_id,
            "SecretAccessKey": secret,
            "Token": self.token,
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class Refusal(Exception):
    """An error as AWS answers it."""

    def __init__(self, status: int, name: str, message: str = "as told"):
        super().__init__(name)
        self.status, self.name, self.message = status, name, message


class _Handler(BaseHTTPRequestHandler):
    faults: AwsFaults
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.faults.now().strftime("%a, %d %b %Y %H:%M:%S GMT")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        with self.faults.lock:
            answer = self.faults.credentials()
        self._send(200, json.dumps(answer).encode())

    def do_POST(self) -> None:
        faults = self.faults
        body = self.rfile.read(int(self.headers["Content-Length"]))
        puts = ".Put" in self.headers["X-Amz-Target"]
        with faults.lock:
            cut = puts and faults.random.random() < faults.cut
            fails = puts and faults.random.random() < faults.fail_request
            stores = not (cut or fails) or faults.random.random() < 0.5
            try:
                faults.check_signature(self.headers, body)
                answer = faults.answer(self.headers["X-Amz-Target"], json.loads(body)) if stores else {}
                status = faults.random.choice([500, 503]) if fails else 200
                text = b"<html>busy</html>" if fails else json.dumps(answer).encode()
            except Refusal as refusal:
                faults.refused.append(refusal.name)
                status = refusal.status
                text = json.dumps({"__type": refusal.name, "message": refusal.message}).encode()
        if cut:
            self.close_connection = True
            return
        self._send(status, text)
