"""Paths and heads, right but for something, around a body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.fuzz.bodies import batch, call, form_body, json_body, message, update

HEX = b"0123456789abcdef"

ODD_PATHS = (
    *(
        "%00",
        "%",
        "%zz",
        "%ff",
        "%2e%2e%2f",
        "..",
        "../..",
        "%2f",
        "//",
        "/./",
        ";a=b",
        "%c0%af",
        "%ed%a0%80",
        "%u0041",
    ),
    *("a" * 9_000, "%41" * 2_000, "/" * 3_000, "🎈", "é", "?", "?a=%ff&a=%00", "#a", "\\", "%0d%0aX-A:%20b", "*"),
)

QUERIES = (
    "",
    "",
    "",
    "?wait=0",
    "?wait=nan",
    "?wait=1e400",
    "?wait=-1",
    "?wait=0&wait=0",
    "?%ff=%00",
    "?a[]=1&" + "b&" * 500,
)

ODD_HEADS: tuple[bytes, ...] = (
    *(b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: +5", b"Content-Length: 5, 5"),
    *(b"Content-Length: 99999999999999999999999", b"Content-Length: 5000000000", b"Content-Length:"),
    *(b"Content-Length: 0x5", b"Content-Length: \xb2", b"Content-Encoding: gzip", b"Range: bytes=-"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: chunked, identity"),
    *(b"Transfer-Encoding : chunked", b"Transfer-Encoding: xchunked", b"Transfer-Encoding:\tchunked", b"TE: trailers"),
    *(b"Expect: 100-continue", b"Expect: nonsense", b"Upgrade: websocket\r\nConnection: Upgrade", b"Connection: close"),
    *(b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings", b"Connection: \xff", b"Connection: keep-alive, close"),
    *(b"X-A: " + b"a" * 40_000, b"\r\n".join([b"X-A: a"] * 150), b"X-A", b": a", b"X\x00A: a", b"X-A: a\x00b"),
    *(b" X-A: a", b"X-A: a\r\n b", b"Host: y", b"Host: \xff"),
    *(b"Authorization: Bearer \xff\xfe", b"Authorization: Basic Og=="),
    *(b"Content-Type: application/json; charset=utf-16", b"Content-Type: \xff", b"Content-Type: multipart/form-data"),
    *(b"Content-Type: application/x-www-form-urlencoded", b"Accept: \xff"),
    *(b"X-Telegram-Bot-Api-Secret-Token: \xff", b"X-Forwarded-For: " + b"1," * 2_000, b"Cookie: " + b"a=b;" * 2_000),
    *(b"X-Tempogram-Wait: 1e400", b"X-Tempogram-Expires-In: nan", b"X-Tempogram-Priority: \xff"),
    *(b"X-HTTP-Method-Override: PUT", b"Forwarded: for=_a", b"Accept-Encoding: gzip;q=0"),
)  # fmt: skip

METHODS = (*b"GET PUT PATCH HEAD OPTIONS TRACE CONNECT post PRI".split(), b"\xff", b"A" * 200, *(b"POST",) * 12)


@dataclass(frozen=True, slots=True)
class Target:
    """A bot to speak to, and the bearer token of the API."""

    token: str
    bearer: str


@dataclass(frozen=True, slots=True)
class Input:
    """Bytes for one connection.

    Attributes:
        is_whole: It is a request with all of its body, so it must be answered; anything else may wait for more.
    """

    raw: bytes
    is_whole: bool


def request(random: Random, target: Target) -> Input:
    """Return a request; of its path, its head and its body most are right, and seldom all."""
    path, template = random.choice(_places(target))
    body, content_type = json_body(random, template), "application/json"
    if random.random() < 0.15:
        body, content_type = form_body(random)
    has_odd_path, has_odd_head = random.random() < 0.15, random.random() < 0.3
    if has_odd_path:
        at = random.randint(1, len(path))
        path = path[:at] + random.choice(ODD_PATHS) + path[at:]
    path += random.choice(QUERIES)
    method = random.choice(METHODS) if has_odd_head else b"POST"
    lines = [
        b"Host: x",
        b"Authorization: Bearer " + target.bearer.encode(),
        b"Content-Type: " + content_type.encode("latin-1", "replace"),
    ]
    framing, framed = _framed(random, body)
    lines.append(framing)
    if has_odd_head:
        lines.insert(random.randint(0, len(lines)), random.choice(ODD_HEADS))
        if random.random() < 0.2:
            lines.pop(random.randrange(len(lines)))
    version = random.choice(
        [b"HTTP/1.1"] * 20 + [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.11", b"", b"http/1.1"]
    )
    raw = b"%b %b %b\r\n" % (method, path.encode(), version) + b"\r\n".join(lines) + b"\r\n\r\n" + framed
    is_whole = not has_odd_head and not has_odd_path and version == b"HTTP/1.1"
    return _cut(random, Input(raw, is_whole))


def _places(target: Target) -> list[tuple[str, Callable[[Random], Any]]]:
    webhook = f"/webhook/telegram/{target.token}"
    return [
        *[(webhook, update)] * 4,
        *[("/messages", message)] * 4,
        ("/messages/batch", batch),
        (f"/bot{target.token}/sendMessage", call),
        (f"/bot{target.token}/sendPhoto", call),
        (f"/bot{target.token}/getChat", call),
    ]


def _framed(random: Random, body: bytes) -> tuple[bytes, bytes]:
    """Return the header that frames a body, and the body in it."""
    if random.random() < 0.8:
        return b"Content-Length: %d" % len(body), body
    size = random.choice([1, 7, 1_000, 100_000]) if len(body) < 50_000 else 60_000
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    extension = random.choice([b"", b"", b";a=b", b";a"])
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(each), extension, each) for each in chunks)
    return b"Transfer-Encoding: chunked", framed + b"0\r\n\r\n"


def _cut(random: Random, whole: Input) -> Input:
    """Return it, or a part of it, or more than it."""
    chance = random.random()
    raw = whole.raw
    if chance < 0.9:
        return whole
    at = random.randrange(len(raw))
    if chance < 0.94:
        return Input(raw[:at], is_whole=False)
    if chance < 0.97:
        return Input(raw[:at] + random.randbytes(random.randint(1, 20)) + raw[at:], is_whole=False)
    return Input(raw + raw, whole.is_whole)
