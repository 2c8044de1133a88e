"""A fake service for tests, which counts by itself: plain calls, with or without an event loop, from any thread.

Everything goes through its ``/-/`` API, so it is the same whether it runs in a thread of this process
(``served_in_thread``) or in a process of its own. A call takes about a millisecond.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, fields
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from tempogram.simulator.services.server import PREFIX, Server

START_TIMEOUT_S = 15

CALLS, TOKENS = "calls", "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSettings:
    """What a fake service allows, and how it answers.

    Attributes:
        count: Calls in any ``window_ms``; 0: any number.
        concurrency: Calls from arrival to answer; 0: any number.
        apart_ms: Between two arrivals.
        tokens: In any ``window_ms``, of what calls expect in ``max_tokens`` or ``x-tokens``; 0: any number.
        form: Of what it says of its limits; see ``FORMS``.
        takes_ms: For an answer.
        failures: Share of calls that are answered with 500.
        answer: What a 200 has in its body, as JSON; None: a chat completion.
    """

    count: int = 0
    window_ms: int = 1_000
    concurrency: int = 0
    apart_ms: int = 0
    tokens: int = 0
    form: str = "retry-after"
    takes_ms: float = 0
    failures: float = 0
    answer: Any = None

    def __post_init__(self) -> None:
        """Refuse a value that makes no sense, naming it."""
        for name, least in LEAST.items():
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} must be at least {least}, not {value!r}")


LEAST = {"count": 0, "window_ms": 1, "concurrency": 0, "apart_ms": 0, "tokens": 0, "takes_ms": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeReport:
    """What a fake service has seen since its start or the last reset.

    Attributes:
        calls: That arrived, refused ones too.
        statuses: How many were answered with each.
        most_in_window: That arrived in the fullest window, wherever it begins, refused ones too.
        most_at_once: From arrival to answer, the one too many included.
        broken: What each call broke that was refused for it, oldest first.
    """

    calls: int
    statuses: dict[int, int]
    most_in_window: int
    most_at_once: int
    broken: list[str]

    @property
    def broke_no_limit(self) -> bool:
        return not self.broken


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeCall:
    """One call that arrived.

    Attributes:
        path: With the query.
        headers: Their names in small letters.
        body: The first 64 KB.
        status: What was answered; 0: nothing yet, or its client has gone.
        began_ms: Milliseconds since the epoch.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    began_ms: float
    ended_ms: float | None

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class FakeService:
    """A fake service that serves every path at ``url``."""

    url: str

    def report(self) -> FakeReport:
        """Sum up what it has seen."""
        seen = self._do("GET", "report")
        calls = seen["limits"][CALLS]
        return FakeReport(
            calls=sum(seen["calls"].values()),
            statuses={int(status): count for status, count in seen["statuses"].items()},
            most_in_window=calls["most_in_window"],
            most_at_once=calls["most_under_way"],
            broken=[each["why"] for limit in seen["limits"].values() for each in limit["refused"]],
        )

    def calls(self) -> list[FakeCall]:
        """List the newest thousand calls, oldest first."""
        return [FakeCall(**each) for each in self._do("GET", "calls")]

    def limit(self, **settings: Any) -> None:
        """Begin anew with other limits and as good as at first; see ``FakeSettings``."""
        self._do("POST", "rules", rules_of(settings_with(settings)))

    def slow(self, takes_ms: float) -> None:
        """Take so long for each answer from now on."""
        self._manner(hold_ms=(takes_ms, takes_ms))

    def hang(self) -> None:
        """Answer no call any more; each is under way until its client has gone."""
        self._manner(is_hanging=True)

    def fail(self, share: float = 1.0, *, times: int | None = None, status: int = 500) -> None:
        """Answer a share of all calls with 500, or another status, from now on; with ``times`` the next so many."""
        if times is None:
            self._manner(failures=share, failure_status=status)
        else:
            self._do("POST", "next", {"status": status, "times": times})

    def throttle(self, share: float = 1.0, *, times: int | None = None, after_ms: float = 1_000) -> None:
        """Answer a share of all calls with 429 though they break nothing; with ``times`` the next so many.

        It says in the form of the service that there is room again in ``after_ms``.
        """
        self._manner(after_ms=after_ms)
        if times is None:
            self._manner(throttled=share)
        else:
            self._do("POST", "next", {"status": 429, "times": times})

    def say(self, form: str) -> None:
        """Say what is left of its limits in another form from now on; see ``FORMS``."""
        self._manner(form=form)

    def answer(self, body: Any) -> None:
        """Have this in the body of each 200 from now on, as JSON."""
        self._manner(answer=body)

    def recover(self) -> None:
        """Be well again: neither slow nor hanging, and nothing but what breaks a limit is refused."""
        self._manner(hold_ms=(0, 0), is_hanging=False, failures=0, throttled=0)

    def reset(self) -> None:
        """Forget what was seen and counted."""
        self._do("POST", "reset")

    def _manner(self, **changes: Any) -> None:
        self._do("PATCH", "manner", changes)

    def _do(self, method: str, path: str, body: object = None) -> Any:
        address = urlsplit(self.url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=START_TIMEOUT_S)
        try:
            connection.request(method, f"{PREFIX}{path}", None if body is None else json.dumps(body))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer


def settings_with(changes: Mapping[str, Any]) -> FakeSettings:
    """Return settings by their names.

    Raises:
        ValueError: A name is unknown or a value makes no sense.
    """
    known = [each.name for each in fields(FakeSettings)]
    if unknown := sorted(set(changes) - set(known)):
        raise ValueError(f"no setting of a fake service is called {', '.join(unknown)}; there are {', '.join(known)}")
    return FakeSettings(**changes)


def rules_of(settings: FakeSettings) -> dict[str, Any]:
    """Return settings as the ``/-/`` API takes them."""
    window = {"prefix": "/", "window_ms": settings.window_ms}
    calls = {"count": settings.count, "concurrency": settings.concurrency, "apart_ms": settings.apart_ms}
    rules = [{"name": CALLS, **window, **calls}]
    if settings.tokens:
        rules.append({"name": TOKENS, **window, "count": settings.tokens, "unit": "tokens"})
    manner = {
        "form": settings.form,
        "counted": "arrival",
        "costs": (1, 1),
        "hold_ms": (settings.takes_ms, settings.takes_ms),
        "failures": settings.failures,
        "answer": settings.answer,
    }
    return {"rules": rules, "manner": manner}


@contextmanager
def served_in_thread(settings: FakeSettings | None = None) -> Iterator[FakeService]:
    """Serve a fresh fake service on a free port until the block ends, on an event loop of its own.

    Raises:
        ValueError: The settings make no sense.
    """
    server = Server(rules_of(settings or FakeSettings()))
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        ending = asyncio.Event()
        async with server.serve() as url:
            started.set_result((url, asyncio.get_running_loop(), ending))
            await ending.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="fake service", daemon=True)
    thread.start()
    url, loop, ending = started.result(START_TIMEOUT_S)
    try:
        yield FakeService(url)
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
