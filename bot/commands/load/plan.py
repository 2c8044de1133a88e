"""Which requests are made, and what must hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tempogram.api.core.redaction import without_tokens
from tempogram.engine.model.errors import SettingsError

REQUESTS = 100
"""Without a duration."""

AT_ONCE_CLOSED, AT_ONCE_OPEN = 20, 10_000
"""In an open loop the number only keeps the memory bounded when answers stay away."""

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which requests are made.

    Attributes:
        concurrency: Requests at once, at the most.
        requests: How many; None: as many as fit into the duration.
        duration_s: In which they are begun; None: for as long as it takes.
        rate: That begin in a second, whatever the answers do; None: each begins when one before it has ended.
        timeout_s: Of one request.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    concurrency: int = AT_ONCE_CLOSED
    requests: int | None = REQUESTS
    duration_s: float | None = None
    rate: float | None = None
    timeout_s: float = 30.0

    @property
    def shown_url(self) -> str:
        """The address without what may be secret: a password, a token, or the query."""
        parts = urlsplit(self.url)
        return without_tokens(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")

    def __str__(self) -> str:
        many = "requests" if self.requests is None else f"{self.requests:,} requests"
        pace = f"{self.concurrency:,} at once" if self.rate is None else f"{self.rate:g} a second"
        time = "" if self.duration_s is None else f", for {self.duration_s:g} s"
        return f"{self.method} {self.shown_url}: {many}, {pace}{time}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What must hold.

    Attributes:
        limit: Answers that are not 429 in any ``window_s``; None: any number.
        p99_max_ms: Of the latency.
        errors_max: Requests without an answer, or with a status from 400 that is not 429.
        errors_share: True: ``errors_max`` is a share of all, in percent.
    """

    limit: int | None = None
    window_s: float = 1.0
    p99_max_ms: float | None = None
    errors_max: float = 0
    errors_share: bool = False

    def errors_allowed(self, requests: int) -> int:
        return int(self.errors_max * requests / 100 if self.errors_share else self.errors_max)


def address(base: str, endpoint: str) -> str:
    """Return the address of an endpoint, which may be whole already.

    >>> address("http://127.0.0.1:8000/", "/api/calls"), address("http://127.0.0.1:8000", "https://shop.example/")
    ('http://127.0.0.1:8000/api/calls', 'https://shop.example/')

    Raises:
        SettingsError: It is no address of HTTP.
    """
    whole = endpoint if "://" in endpoint else f"{base.rstrip('/')}/{endpoint.lstrip('/')}"
    parts = urlsplit(whole)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError("the address must begin with http:// or https://, and have a host")
    return whole


def headers_of(given: Sequence[str], body: bytes) -> dict[str, str]:
    """Return headers by name. A body that is JSON says so by itself.

    >>> headers_of(["X-Team: red"], b"{}")
    {'X-Team': 'red', 'Content-Type': 'application/json'}

    Raises:
        SettingsError: One is none; its value is not repeated.
    """
    headers = {}
    for number, each in enumerate(given, start=1):
        name, colon, value = each.partition(":")
        if not colon or not NAME.fullmatch(name) or re.search(r"[\r\n\0]", value):
            raise SettingsError(f"--header number {number} is none; write one as in 'X-Team: red'")
        headers[name] = value.strip()
    if body and is_json(body) and "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = "application/json"
    return headers


def body_of(given: str) -> bytes:
    """Return a body: the text itself, or with @ the content of a file.

    Raises:
        SettingsError: The file cannot be read.
    """
    if not given.startswith("@"):
        return given.encode()
    try:
        return Path(given[1:]).read_bytes()
    except OSError as error:
        raise SettingsError(f"{given[1:]} cannot be read ({error.strerror})") from None


def errors_of(given: str) -> tuple[float, bool]:
    """Return how many errors are allowed, and whether that is in percent.

    >>> errors_of("3"), errors_of("0.5%")
    ((3.0, False), (0.5, True))

    Raises:
        SettingsError: It is neither.
    """
    number, percent, rest = given.partition("%")
    try:
        count = float(number)
    except ValueError:
        count = -1
    if rest or not 0 <= count < float("inf") or (not percent and not count.is_integer()):
        raise SettingsError(f"--errors-max is {given!r}; write a number of requests, or a share as in 0.5%")
    return count, bool(percent)


def is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
