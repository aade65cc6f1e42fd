"""A real Kafka broker (combined with its controller), ready a second after its start."""

from __future__ import annotations

import base64
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from services import java
from services.certs import Certificates
from services.runtime import Process, ServiceError, free_port
from services.tcp_proxy import TcpProxy

_SASL = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class Record:
    """One record as a consumer sees it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


OWN_TOPICS = {"__consumer_offsets", "__transaction_state"}


class Kafka(Process):
    """One broker on a loopback port; `extra` are server properties that win over ours.

    `security=True` adds the listeners TLS, MTLS, SCRAM (alice/alice-secret, both SHA), PLAIN
    (carol/carol-secret) and BADNAME (a certificate for another host), addresses in `.listeners`,
    certificates in `.certs`, and an authorizer: anonymous clients may do all, named ones nothing
    until allow(). `proxied=True` adds a listener whose clients all come through `.proxy`
    (`.proxied_bootstrap`), so that their network can be cut while others still see the broker;
    `proxy` makes it, a TcpProxy by default.
    """

    def __init__(
        self,
        run_dir: Path | None = None,
        extra: Mapping[str, Any] | None = None,
        *,
        security: bool = False,
        proxied: bool = False,
        proxy: Callable[[tuple[str, int]], Any] = TcpProxy,
        heap_mb: int = 160,
        making_archive: bool = False,
    ):
        super().__init__("kafka", run_dir=run_dir)
        self.cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self.cluster_id = self.cluster_id.replace("-", "A")  # a leading dash would look like an option
        self.certs: Certificates | None = None
        self.proxy: Any = None
        self.listeners = {"PLAINTEXT": f"127.0.0.1:{free_port()}"}
        self.bootstrap = self.listeners["PLAINTEXT"]
        self._advertised = dict(self.listeners)
        self._admin: AdminClient | None = None
        self._security = security
        if proxied:
            port = free_port()
            self.proxy = proxy(("127.0.0.1", port))
            self.listeners["PROXIED"] = f"127.0.0.1:{port}"
            self._advertised["PROXIED"] = self.proxied_bootstrap = self.proxy.address
        if security:
            self.certs = Certificates(self.dir / "certs")
            for name in ("TLS", "MTLS", "SCRAM", "PLAIN", "BADNAME"):
                self._advertised[name] = self.listeners[name] = f"127.0.0.1:{free_port()}"
        self.properties = {**self._properties(), **(extra or {})}
        self._config = self.dir / "server.properties"
        jars = sorted(java.part("kafka").glob("*.jar"))
        self._java = [
            *java.command("kafka", heap_mb, making_archive),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-cp",
            ":".join(map(str, jars)),
        ]
        self.argv = [*self._java, "kafka.Kafka", str(self._config)]

    # -- making

    def _properties(self) -> dict[str, Any]:
        controller = f"127.0.0.1:{free_port()}"
        listeners = {**self.listeners, "CONTROLLER": controller}
        protocols = {"SCRAM": "SASL_SSL", "PLAIN": "SASL_PLAINTEXT"}
        protocols |= dict.fromkeys(("TLS", "MTLS", "BADNAME"), "SSL")
        properties: dict[str, Any] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "listeners": ",".join(f"{name}://{at}" for name, at in listeners.items()),
            "advertised.listeners": ",".join(f"{n}://{at}" for n, at in self._advertised.items()),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocols.get(name, 'PLAINTEXT')}" for name in listeners
            ),
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": self.dir / "data",
            "num.partitions": 1,
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.dedupe.buffer.size": 2097152,  # the default takes 128 MB of heap
            "log.cleaner.backoff.ms": 500,
            "broker.session.timeout.ms": 2000,  # a restart after kill -9 waits for it
            "broker.heartbeat.interval.ms": 400,
            "num.network.threads": 2,
            "num.io.threads": 2,
            "background.threads": 2,
        }
        for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
            properties |= {f"{topic}.replication.factor": 1, f"{topic}.num.partitions": 1}
            if topic != "offsets.topic":
                properties[f"{topic}.min.isr"] = 1
        return properties | (self._security_properties() if self._security else {})

    def _security_properties(self) -> dict[str, Any]:
        assert self.certs is not None
        properties: dict[str, Any] = {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.certs / "server.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.certs.ca,
            "listener.name.mtls.ssl.client.auth": "required",
            "listener.name.mtls.ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
            "listener.name.badname.ssl.keystore.type": "PEM",
            "listener.name.badname.ssl.keystore.location": self.certs / "badname.pem",
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256",
            "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.plain.plain.sasl.jaas.config": f"{_SASL}.plain.PlainLoginModule required"
            ' user_carol="carol-secret";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "false",
        }
        for sha in ("scram-sha-512", "scram-sha-256"):
            properties[f"listener.name.scram.{sha}.sasl.jaas.config"] = (
                f"{_SASL}.scram.ScramLoginModule required;"
            )
        return properties

    def client_conf(self, listener: str) -> dict[str, str]:
        """How a well-behaved librdkafka client reaches one listener."""
        conf = {"bootstrap.servers": self._advertised[listener]}
        if listener in ("PLAINTEXT", "PROXIED"):
            return conf
        assert self.certs is not None
        if listener == "PLAIN":
            return conf | {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "carol",
                "sasl.password": "carol-secret",
            }
        conf |= {"security.protocol": "SSL", "ssl.ca.location": self.certs.ca}
        if listener == "MTLS":
            conf |= {
                "ssl.certificate.location": self.certs / "client.crt",
                "ssl.key.location": self.certs / "client.key",
            }
        if listener == "SCRAM":
            conf |= {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": "alice",
                "sasl.password": "alice-secret",
            }
        return conf

    def _tool(self, main_class: str, *args: str, timeout: float = 60) -> str:
        done = subprocess.run(
            [*self._java, main_class, *args], timeout=timeout, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode != 0:
            raise ServiceError(f"{main_class} failed:\n{done.stdout[-2000:]}")
        return done.stdout

    def _format(self) -> None:
        users = []
        if self._security:
            for sha in ("SCRAM-SHA-512", "SCRAM-SHA-256"):
                users += ["--add-scram", f"{sha}=[name=alice,password=alice-secret]"]
        config = ["--standalone", "-t", self.cluster_id, "-c", str(self._config)]
        self._tool("kafka.tools.StorageTool", "format", *config, *users)

    # -- life

    def start(self, timeout: float = 60) -> "Kafka":
        """Starts it, on first use after formatting its storage."""
        lines = (f"{name}={value}\n" for name, value in self.properties.items())
        self._config.write_text("".join(lines))
        if not (self.dir / "data" / "meta.properties").exists():
            self._format()
        super().start(timeout)
        return self

    def _ready(self) -> bool:
        """Metadata with our own cluster id: a stranger on the same port is not taken for us."""
        try:
            metadata = self.admin.list_topics(timeout=1)
        except KafkaException:
            return False
        return metadata.cluster_id == self.cluster_id and bool(metadata.brokers)

    def kill9(self) -> None:
        """Ends it at once. With transactions only between them: see below.

        Killed between the answer to a commit and the writing of its markers, this lone broker (4.3.1)
        comes back with the transaction "complete", its markers missing and its records unreadable
        for ever. A cluster has another leader by then.
        """
        super().kill9()

    kill = kill9

    def close(self) -> None:
        super().close()
        if self.proxy:
            self.proxy.close()

    # -- using

    @property
    def admin(self) -> AdminClient:
        """An admin client of its own listener."""
        if self._admin is None:
            conf = {
                "bootstrap.servers": self.bootstrap,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 100,
                "log_level": 0,
            }
            self._admin = AdminClient(conf)
        return self._admin

    def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Creates a topic and waits until it is there."""
        topic = NewTopic(name, partitions, 1, config=dict(config or {}))
        self.admin.create_topics([topic], operation_timeout=10)[name].result(15)

    def delete_topic(self, name: str) -> None:
        """Deletes a topic."""
        self.admin.delete_topics([name], operation_timeout=10)[name].result(15)

    def topics(self) -> dict[str, int]:
        """Every topic that is not Kafka's own, with its number of partitions."""
        found = self.admin.list_topics(timeout=10).topics
        return {n: len(t.partitions) for n, t in found.items() if n not in OWN_TOPICS}

    def allow(self, principal: str, kind: str, name: str, operation: str) -> None:
        """Gives a right: allow("alice", "topic", "orders.*", "write"); a star at the end means a prefix,
        a star alone all.

        Kinds: topic, group, transactional_id, broker (whose only name is "kafka-cluster").
        """
        binding = _acl(AclBinding, principal, kind, name, operation)
        self.admin.create_acls([binding])[binding].result(15)

    def disallow(self, principal: str, kind: str, name: str, operation: str) -> None:
        """Takes such a right back."""
        rule = _acl(AclBindingFilter, principal, kind, name, operation)
        self.admin.delete_acls([rule])[rule].result(15)

    def producer(self, conf: Mapping[str, Any] | None = None) -> Producer:
        """A confluent-kafka producer that keeps quiet about lost connections."""
        return Producer({"bootstrap.servers": self.bootstrap, "log_level": 0, **(conf or {})})

    def read(
        self, topic: str, timeout: float = 60, isolation: str = "read_committed"
    ) -> list[Record]:
        """Every record of a topic up to its end at this moment, in order within each partition.

        A transaction becomes readable a moment after its commit returned: wait_until() it is.
        """
        return list(self.stream(topic, timeout, isolation))

    def stream(
        self, topic: str | Sequence[str], timeout: float = 60, isolation: str = "read_committed"
    ) -> Iterator[Record]:
        """As read(), one record at a time, of one topic or several. The end of a partition is the last stable offset."""
        names = [topic] if isinstance(topic, str) else list(topic)
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "test-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "isolation.level": isolation,
                "fetch.wait.max.ms": 50,
                "log_level": 0,
            }
        )
        try:
            open_partitions: set[tuple[str, int]] = set()
            for name in names:
                metadata = consumer.list_topics(name, timeout=10).topics[name]
                if metadata.error:
                    raise ServiceError(f"topic {name}: {metadata.error.str()}")
                open_partitions |= {(name, number) for number in metadata.partitions}
            consumer.assign([TopicPartition(name, number, 0) for name, number in open_partitions])
            deadline = time.monotonic() + timeout
            while open_partitions:
                if time.monotonic() > deadline:
                    raise ServiceError(f"topic {topic}: not read to its end in {timeout:g} s")
                for message in consumer.consume(10000, timeout=0.1):
                    error = message.error()
                    if error is None:
                        yield _record(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        open_partitions.discard((message.topic(), message.partition()))
                    elif not error.retriable():
                        raise ServiceError(f"topic {topic}: {error.str()}")
        finally:
            consumer.close()


def _acl(cls: type, principal: str, kind: str, name: str, operation: str) -> Any:
    prefixed = name.endswith("*") and name != "*"  # the star alone means all, literally
    return cls(
        ResourceType[kind.upper()],
        name.rstrip("*") if prefixed else name,
        ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL,
        f"User:{principal}",
        "*",
        AclOperation[operation.upper()],
        AclPermissionType.ALLOW,
    )


def _record(message: Any) -> Record:
    return Record(
        message.topic(), message.partition(), message.offset(), message.key(), message.value(),
        tuple(message.headers() or ()), message.timestamp()[1],
    )  # fmt: skip
