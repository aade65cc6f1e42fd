"""A real schema registry (Apicurio) with Confluent's HTTP interface."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from services import java
from services.certs import Certificates
from services.runtime import Process, ServiceError, free_port

_AUTH = {
    "quarkus.http.auth.basic": "true",
    "quarkus.security.users.embedded.enabled": "true",
    "quarkus.security.users.embedded.plain-text": "true",
    "quarkus.security.users.embedded.users.alice": "alice-pw",
    "quarkus.security.users.embedded.roles.alice": "sr-admin",
    "quarkus.security.users.embedded.users.bob": "bob-pw",
    "quarkus.security.users.embedded.roles.bob": "sr-readonly",
    "apicurio.auth.role-based-authorization": "true",
    "quarkus.http.auth.permission.api.paths": "/apis/*",
    "quarkus.http.auth.permission.api.policy": "authenticated",
}


class Registry(Process):
    """`.url` is the base of the API. Compatibility is BACKWARD, as a fresh Confluent registry has it.

    `auth=True`: basic authentication, alice/alice-pw may write, bob/bob-pw may read. `tls=True`: only
    HTTPS, the authority in `.certs.ca`. `persistent=True`: schemas survive stop and kill -9 (else memory).
    """

    def __init__(
        self,
        run_dir: Path | None = None,
        *,
        auth: bool = False,
        tls: bool = False,
        persistent: bool = False,
        heap_mb: int = 160,
        making_archive: bool = False,
    ):
        super().__init__("registry", run_dir=run_dir)
        self.port = free_port()
        self.certs: Certificates | None = None
        self.credentials: tuple[str, str] | None = ("alice", "alice-pw") if auth else None
        options = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": self.port,
            "quarkus.management.host": "127.0.0.1",
            "quarkus.management.port": free_port(),
            "quarkus.http.access-log.enabled": "false",
        }
        if auth:
            options |= _AUTH
        if tls:
            self.certs = Certificates(self.dir / "certs")
            options |= {
                "quarkus.http.port": free_port(),
                "quarkus.http.ssl-port": self.port,
                "quarkus.http.ssl.certificate.files": self.certs / "server.crt",
                "quarkus.http.ssl.certificate.key-files": self.certs / "server.key",
                "quarkus.http.insecure-requests": "disabled",
            }
        if persistent:
            options["apicurio.datasource.url"] = f"jdbc:h2:file:{self.dir}/db;WRITE_DELAY=0"
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}/apis/ccompat/v7"
        self.argv = [
            *java.command("registry", heap_mb, making_archive),
            *(f"-D{name}={value}" for name, value in options.items()),
            "-jar",
            str(java.part("registry") / "quarkus-run.jar"),
        ]

    def start(self, timeout: float = 90) -> "Registry":
        """Starts it and sets the global compatibility."""
        super().start(timeout)
        self.request("PUT", "/config", {"compatibility": "BACKWARD"})
        return self

    def _ready(self) -> bool:
        try:
            self.request("GET", "/subjects")
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise ServiceError(f"{self.name}: {error.reason}") from error
            return False
        except (OSError, ServiceError):
            return False
        return True

    def request(self, method: str, path: str, body: Any = None, timeout: float = 10) -> Any:
        """One call of the API with JSON in and out; ServiceError with status and text for 4xx and 5xx."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        if self.credentials:
            token = base64.b64encode(":".join(self.credentials).encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        if body is not None:
            request.data = json.dumps(body).encode()
        context = ssl.create_default_context(cafile=self.certs.ca) if self.certs else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise ServiceError(f"{method} {path}: {error.code} {text[:500]}") from error

    def subjects(self) -> list[str]:
        """Every subject."""
        return self.request("GET", "/subjects")

    def schema(self, number: int) -> dict[str, Any]:
        """A schema by its id, parsed."""
        return json.loads(self.request("GET", f"/schemas/ids/{number}")["schema"])

    def register(self, subject: str, schema: Any) -> int:
        """Registers a schema (text or JSON value) and returns its id."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        return self.request("POST", f"/subjects/{subject}/versions", {"schema": text})["id"]
