"""Runs a file written for psql on psycopg2: the part of its language that the capture's SQL uses.

Statements end at a semicolon outside quotes and are sent one by one, so each is its own transaction unless the
file says BEGIN. `\\set NAME VALUE`, `\\o` and the variables :name and :'name' are known; another backslash
command is an error. With ON_ERROR_STOP at 0 a refused statement is noted and the file goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psycopg2

_TOKEN = re.compile(
    r"(?P<quoted>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")"
    r"|(?P<comment>--[^\n]*)"
    r"|(?P<cast>::)"
    r"|:(?P<literal>'\w+')"
    r"|:(?P<plain>[A-Za-z_]\w*)"
    r"|(?P<end>;)"
    r"|(?P<other>.)",
    re.S,
)


class Refused(NamedTuple):
    """A statement that the server did not take."""

    statement: str
    error: str


class PsqlFile:
    """The variables of one psql session and what the server refused in it."""

    def __init__(self, connection, variables: Mapping[str, object] | None = None):
        self.connection = connection
        self.variables = {"ON_ERROR_STOP": "0", **{k: str(v) for k, v in (variables or {}).items()}}
        self.refused: list[Refused] = []

    def run(self, path: Path) -> list[Refused]:
        """Runs a file to its end; psycopg2.Error under ON_ERROR_STOP."""
        for statement in self._statements(path.read_text()):
            try:
                with self.connection.cursor() as cursor:
                    cursor.execute(statement)
            except psycopg2.Error as error:
                if self.variables["ON_ERROR_STOP"] not in ("0", "off"):
                    raise
                self.refused.append(Refused(statement, str(error).splitlines()[0]))
        return self.refused

    def _statements(self, text: str) -> Iterator[str]:
        """Variables are looked up as late as psql does: when the statement's text is read."""
        statement = ""
        at = 0
        while at < len(text):
            if text[at] == "\\" and not statement.strip():
                end = text.find("\n", at)
                end = len(text) if end < 0 else end
                self._command(text[at:end])
                at, statement = end, ""
                continue
            token = _TOKEN.match(text, at)
            assert token
            at = token.end()
            if token["end"]:
                yield statement.strip()
                statement = ""
            elif token["literal"]:
                value = self.variables[token["literal"].strip("'")]
                statement += "'" + value.replace("'", "''") + "'"
            elif token["plain"]:
                statement += self.variables[token["plain"]]
            elif not token["comment"]:
                statement += token[0]
        if statement.strip():
            yield statement.strip()

    def _command(self, line: str) -> None:
        name, _, rest = line[1:].strip().partition(" ")
        if name == "set":
            variable, _, value = rest.partition(" ")
            self.variables[variable] = value.strip().removeprefix("'").removesuffix("'")
        elif name != "o":  # where results go: nobody reads them
            raise ValueError(f"psql command not known here: {line}")
