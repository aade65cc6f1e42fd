"""From PostgreSQL's text of a value to what a reader of the event must find: docs/types.md, once more.

Each function takes the server's text and returns the Avro value without logical types. Refused is raised
for values that the Avro type cannot hold.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from datetime import date
from functools import lru_cache
from typing import Any

Mapping = Callable[[str], Any]

DAY = 86_400_000_000  # microseconds
MONTH = DAY * 487 // 16  # 30.4375 days
LONG = range(-(2**63), 2**63)


class Refused(Exception):
    """No value of the Avro type says this."""


def or_null(mapping: Mapping) -> Mapping:
    """What stands there with event_converting_failure_handling_mode `warn`."""

    def mapped(text: str) -> Any:
        try:
            return mapping(text)
        except Refused:
            return None

    return mapped


def same(value: Any) -> Any:
    return value


# ---------------------------------------------------------------- numbers


def boolean(text: str) -> bool:
    return {"t": True, "f": False}[text]


def bit(text: str) -> bool:
    return {"1": True, "0": False}[text]


def single(value: Any) -> float:
    """The nearest float of 32 bits."""
    return struct.unpack("<f", struct.pack("<f", float(value)))[0]


def signed(unscaled: int) -> bytes:
    """Two's complement, big endian, as short as can be."""
    return unscaled.to_bytes((unscaled + (unscaled < 0)).bit_length() // 8 + 1, "big", signed=True)


def _digits(text: str) -> tuple[str, str]:
    if text.lstrip("-") in ("NaN", "Infinity"):
        raise Refused(text)
    whole, _, fraction = text.partition(".")
    return whole, fraction


def variable(text: str) -> dict[str, Any]:
    """io.debezium.data.VariableScaleDecimal: no zeros at the end of the fraction."""
    whole, fraction = _digits(text)
    fraction = fraction.rstrip("0")
    return {"scale": len(fraction), "value": signed(int(whole + fraction))}


def decimal(scale: int) -> Mapping:
    """Bytes of a decimal with that scale."""

    def mapped(text: str) -> bytes:
        whole, fraction = _digits(text)
        if fraction.rstrip("0")[scale:]:
            raise Refused(text)
        return signed(int(whole + fraction.ljust(scale, "0")[:scale]))

    return mapped


def money(text: str) -> bytes:
    return decimal(2)(text.replace("$", "").replace(",", ""))


# ---------------------------------------------------------------- bits and bytes


def bits(text: str) -> bytes:
    """io.debezium.data.Bits: little endian, no zero bytes at the upper end."""
    return int(text or "0", 2).to_bytes((len(text) + 7) // 8, "little").rstrip(b"\0")


def bytea(text: str) -> bytes:
    assert text.startswith("\\x"), text
    return bytes.fromhex(text[2:])


# ---------------------------------------------------------------- times

INFINITIES = ("infinity", "-infinity")


def _calendar(text: str) -> tuple[int, int, int]:
    """Astronomical year, month, day."""
    era = text.endswith(" BC")
    year, month, day = (text[:-3] if era else text).split("-")
    return 1 - int(year) if era else int(year), int(month), int(day)


@lru_cache(maxsize=100_000)
def _days(text: str) -> int:
    """Days since 1970-01-01; the calendar repeats after 400 years, of 146,097 days."""
    year, month, day = _calendar(text)
    return date(year % 400 + 2000, month, day).toordinal() - 719_163 + (year // 400 - 5) * 146_097


def clock(text: str) -> int:
    """Microseconds of the day."""
    whole, _, fraction = text.partition(".")
    hours, minutes, seconds = whole.split(":")
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1_000_000 + int(fraction.ljust(6, "0"))


def clock_ms(text: str) -> int:
    micros = clock(text)
    assert micros % 1000 == 0, text
    return micros // 1000


def _stamp(text: str) -> int:
    day, _, rest = text.partition(" ")
    if rest.endswith(" BC"):
        day, rest = day + " BC", rest[:-3]
    return _days(day) * DAY + clock(rest)


def days(text: str) -> int:
    if text in INFINITIES:
        raise Refused(text)
    return _days(text)


def debezium_days(text: str) -> int:
    return {"infinity": 2146033979, "-infinity": -2147472691}[text] if text in INFINITIES else _days(text)


def micros(text: str) -> int:
    """A timestamp; the last and the first long are not used."""
    if text in INFINITIES:
        raise Refused(text)
    value = _stamp(text)
    if value >= 2**63 - 1:
        raise Refused(text)
    return value


def debezium_micros(text: str) -> int:
    return {"infinity": 2**63 - 1, "-infinity": -(2**63)}[text] if text in INFINITIES else micros(text)


def debezium_millis(text: str) -> int:
    if text in INFINITIES:
        return {"infinity": 9223372036825200000, "-infinity": -9223372036832400000}[text]
    value = _stamp(text)
    assert value % 1000 == 0, text
    return value // 1000


def _in_utc(text: str) -> str:
    """A timestamptz without its zone: the session's is UTC."""
    era = " BC" if text.endswith(" BC") else ""
    plain = text[: len(text) - len(era)]
    assert plain.endswith("+00"), text
    return plain[:-3] + era


def zoned_micros(text: str) -> int:
    return micros(text if text in INFINITIES else _in_utc(text))


def zoned(digits: int) -> Mapping:
    """io.debezium.time.ZonedTimestamp with that many digits."""

    def mapped(text: str) -> str:
        if text in INFINITIES:
            return text
        plain = _in_utc(text)
        era = plain[-3:] if plain.endswith(" BC") else ""
        day, rest = plain[: len(plain) - len(era)].split(" ")
        year, month, of_month = _calendar(day + era)
        sign = "-" if year < 0 else "+" if year > 9999 else ""
        whole, _, fraction = rest.partition(".")
        assert not fraction[digits:], text
        point = "." + fraction.ljust(digits, "0") if digits else ""
        return f"{sign}{abs(year):04}-{month:02}-{of_month:02}T{whole}{point}Z"

    return mapped


def zoned_time(text: str) -> str:
    """io.debezium.time.ZonedTime: in UTC, no zeros at the end; 24:00 in UTC stays."""
    at = max(text.rfind("+"), text.rfind("-"))
    hours, minutes, seconds = (text[at + 1 :] + ":0:0").split(":")[:3]
    zone = ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1_000_000
    value = clock(text[:at])
    if zone or value < DAY:
        value = (value - (zone if text[at] == "+" else -zone)) % DAY
    whole, fraction = divmod(value, 1_000_000)
    point = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}Z"


def interval(text: str) -> dict[str, int]:
    """walferry.Interval."""
    if text in INFINITIES:
        raise Refused(text)
    months = days_ = micros_ = 0
    words = text.split(" ")
    while words:
        word = words.pop(0)
        if ":" in word:
            micros_ = clock(word.lstrip("+-")) * (-1 if word[0] == "-" else 1)
        else:
            unit = words.pop(0).rstrip("s")
            months += int(word) * {"year": 12, "mon": 1, "day": 0}[unit]
            days_ += int(word) if unit == "day" else 0
    if micros_ not in LONG:
        raise Refused(text)
    return {"months": months, "days": days_, "micros": micros_}


def duration(text: str) -> int:
    """io.debezium.time.MicroDuration."""
    parts = interval(text)
    value = parts["months"] * MONTH + parts["days"] * DAY + parts["micros"]
    if value not in LONG:
        raise Refused(text)
    return value


# ---------------------------------------------------------------- geometry


def _points(text: str) -> list[tuple[float, float]]:
    numbers = [float(number) for number in text.strip("[]()").replace("(", "").replace(")", "").split(",")]
    return list(zip(numbers[::2], numbers[1::2]))


def point(text: str) -> dict[str, Any]:
    ((x, y),) = _points(text)
    return {"x": x, "y": y, "wkb": struct.pack("<BIdd", 1, 1, x, y), "srid": None}


def wkb(kind: int, points: list[tuple[float, float]], **extensions: str) -> dict[str, Any]:
    """io.debezium.data.geometry.Geometry: a line string (2) or a polygon of one ring (3)."""
    head = struct.pack("<BI", 1, kind) + (struct.pack("<I", 1) if kind == 3 else b"")
    body = b"".join(struct.pack("<dd", *at) for at in points)
    return {"wkb": head + struct.pack("<I", len(points)) + body, "srid": None, "extensions": extensions}


def lseg(text: str) -> dict[str, Any]:
    return wkb(2, _points(text), type="lseg")


def box(text: str) -> dict[str, Any]:
    a, b = _points(text)
    return wkb(3, [a, (a[0], b[1]), b, (b[0], a[1]), a], type="box")


def path(text: str) -> dict[str, Any]:
    return wkb(2, _points(text), closed="true" if text[0] == "(" else "false", type="path")


def polygon(text: str) -> dict[str, Any]:
    points = _points(text)
    return wkb(3, points if points[0] == points[-1] else [*points, points[0]], type="polygon")


def line(text: str) -> dict[str, Any]:
    return dict(zip("abc", map(float, text.strip("{}").split(","))))


def circle(text: str) -> dict[str, Any]:
    center, _, radius = text.strip("<>").rpartition(",")
    return {"center": point(center), "radius": float(radius)}


# ---------------------------------------------------------------- what has parts


def _quoted(text: str, at: int) -> tuple[str, int]:
    """The string behind the quote at `at`, and where it ends; a backslash keeps what follows it."""
    out = []
    at += 1
    while text[at] != '"':
        at += text[at] == "\\"
        out.append(text[at])
        at += 1
    return "".join(out), at + 1


def elements(text: str, delimiter: str = ",") -> Iterator[str | None]:
    """Of an array of one dimension."""
    at = text.index("{") + 1
    while text[at] != "}":
        if text[at] == '"':
            element, at = _quoted(text, at)
            yield element
        else:
            end = min(i for i in (text.find(delimiter, at), text.find("}", at)) if i >= 0)
            yield None if text[at:end] == "NULL" else text[at:end]
            at = end
        at += text[at] == delimiter
    assert at + 1 == len(text), text


def array(mapping: Mapping, delimiter: str = ",") -> Mapping:
    return lambda text: [None if e is None else mapping(e) for e in elements(text, delimiter)]


def fields(text: str) -> Iterator[str | None]:
    """Of a composite: inside quotes a quote or backslash is written twice, nothing is NULL."""
    at = 1
    while True:
        out: list[str] = []
        quoted = was_quoted = False
        while quoted or text[at] not in ",)":
            if text[at] == '"' and quoted and text[at + 1] == '"' or text[at] == "\\":
                out.append(text[at + 1])
                at += 2
            elif text[at] == '"':
                quoted, was_quoted = not quoted, True
                at += 1
            else:
                out.append(text[at])
                at += 1
        yield "".join(out) if out or was_quoted else None
        at += 1
        if text[at - 1] == ")":
            break
    assert at == len(text), text


def record(**mappings: Mapping) -> Mapping:
    def mapped(text: str) -> dict[str, Any]:
        values = list(fields(text))
        assert len(values) == len(mappings), text
        return {name: None if v is None else m(v) for (name, m), v in zip(mappings.items(), values)}

    return mapped


def hstore(text: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    at = 0
    while at < len(text):
        key, at = _quoted(text, at)
        assert text[at : at + 2] == "=>", text
        if text[at + 2] == '"':
            found[key], at = _quoted(text, at + 2)
        else:
            assert text[at + 2 : at + 6] == "NULL", text
            found[key], at = None, at + 6
        at += 2 * (text[at : at + 2] == ", ")
    return found


def vector(text: str) -> list[int]:
    """int2vector, oidvector."""
    return [int(word) for word in text.split()]
