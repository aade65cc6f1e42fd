"""Real servers for the tests: PostgreSQL 13-18, Kafka, a schema registry, and a network that fails.

    from services import Kafka, Postgres, Registry

    with Postgres(17) as pg, Kafka() as kafka, Registry() as registry:
        pg.sql("create table t (id int primary key)")

Each server has start(), stop(), kill9(), restart(), sigstop(), sigcont(), a directory `.dir` and a
`.log`. `./dev services` tries them all.
"""

from services.kafka import Kafka
from services.postgres import MAJORS, Postgres, client_tool, debian_wal2json
from services.registry import Registry
from services.runtime import (
    REPOSITORY,
    Process,
    ServiceError,
    default_run_dir,
    free_port,
    new_run_dir,
    wait_until,
    walferry,
)
from services.tcp_proxy import TcpProxy

__all__ = [
    "MAJORS",
    "REPOSITORY",
    "Kafka",
    "Postgres",
    "Process",
    "Registry",
    "ServiceError",
    "TcpProxy",
    "client_tool",
    "debian_wal2json",
    "default_run_dir",
    "free_port",
    "new_run_dir",
    "wait_until",
    "walferry",
]
