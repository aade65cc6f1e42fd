"""Certificates for the tests, made by openssl: one authority, a server, clients, and the bad ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SAN = "IP:127.0.0.1,DNS:localhost"


class Certificates:
    """`ca.crt` and NAME.crt, NAME.key (PKCS#8), NAME.pem (key, certificate and authority in one file).

    server, client (CN=mtls-user), badname (right authority, some other host), rogue (client of a
    foreign authority, `rogue-ca.crt`).
    """

    def __init__(self, directory: Path):
        self.dir = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._authority("ca")
        self._authority("rogue-ca")
        self._issue("server", "localhost", _SAN, "ca")
        self._issue("client", "mtls-user", None, "ca")
        self._issue("badname", "other.example", "DNS:other.example", "ca")
        self._issue("rogue", "mtls-user", None, "rogue-ca")

    def __truediv__(self, name: str) -> str:
        return str(self.dir / name)

    @property
    def ca(self) -> str:
        """The file clients trust."""
        return self / "ca.crt"

    def _openssl(self, *args: str) -> None:
        subprocess.run(
            ["openssl", *args], cwd=self.dir, check=True, timeout=30, capture_output=True
        )

    def _authority(self, name: str) -> None:
        config = self.dir / f"{name}.cnf"  # the machine's own would have its say otherwise
        config.write_text(
            f"[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=ext\n"
            f"[dn]\nCN=walferry test {name}\n"
            "[ext]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
            "subjectKeyIdentifier=hash\n"
        )
        self._openssl(
            "req", "-x509", "-config", config.name, "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt",
            "-days", "30",
        )  # fmt: skip

    def _issue(self, name: str, common_name: str, san: str | None, authority: str) -> None:
        self._openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key",
            "-out", f"{name}.csr", "-subj", f"/CN={common_name}",
        )  # fmt: skip
        extensions = self.dir / f"{name}.ext"
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\n"
            "authorityKeyIdentifier=keyid\n" + (f"subjectAltName={san}\n" if san else "")
        )
        self._openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt",
            "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "30",
            "-extfile", extensions.name, "-out", f"{name}.crt",
        )  # fmt: skip
        bundle = self.dir / f"{name}.pem"
        parts = (f"{name}.key", f"{name}.crt", f"{authority}.crt")
        bundle.write_text("".join((self.dir / part).read_text() for part in parts))
