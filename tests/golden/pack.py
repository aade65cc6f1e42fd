"""Packs a folder of captured topics (one JSON file each) into one data/RUN.json.gz, with what the comparison needs.

    ./dev python -m golden.pack DIRECTORY [DIRECTORY...]
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent / "data"


def _part(part: dict[str, Any] | None) -> list[Any] | None:
    """A key or a value: its schema's index, its Avro bytes without the registry's frame."""
    return part and [part["schema"], part["bytes"][10:]]


def _topic(path: Path) -> dict[str, Any]:
    captured = json.loads(path.read_text())
    return {
        "topic": captured["topic"],
        "schemas": [schema["text"] for schema in captured["avro_schemas"]],
        "records": [
            [_part(r["key"]), _part(r["value"]), [[name, text] for name, _, text in r.get("headers", [])]]
            for r in captured["records"]
        ],
    }


def main(directories: list[str]) -> None:
    """Writes data/NAME.json.gz for every directory NAME."""
    for directory in map(Path, directories):
        topics = [_topic(path) for path in sorted(directory.glob("*.json"))]
        text = json.dumps(topics, separators=(",", ":"), ensure_ascii=False).encode()
        target = DATA / f"{directory.name}.json.gz"
        target.write_bytes(gzip.compress(text, 9, mtime=0))
        print(f"{target.name}: {len(topics)} topics, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
