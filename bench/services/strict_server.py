"""A strict HTTP server on loopback that counts by itself, and answers 429 to what breaks one of its limits.

It imports nothing of the engine. A call may be counted when it has arrived, when it is answered, or anywhere between;
what it says of its limits has one of several services' forms. A call is over when it is answered, or its connection
gone.

    python -m bench.services.strict_server --port 8090 --rules rules.json

``GET /-/report`` returns what it has seen, ``POST /-/rules`` (the same JSON as the file) begins anew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.services.strict_counts import Counted, Rule
from bench.services.strict_words import FORMS, Left

NICE = -5
"""So that the arrival of a request is noted when it arrives, also on a busy machine; refused to all but root."""

HEAD_END = b"\r\n\r\n"
REASONS = {200: "OK", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


@dataclass(frozen=True, slots=True)
class Manner:
    """How calls are answered.

    Attributes:
        hold_ms: From arrival to answer, at least and at most.
        failures: Share of calls that are answered with 500; they are counted like others.
        form: Of what is said of the limits, see ``FORMS``.
        counted: ``arrival``, ``answer`` or ``anywhere``.
        costs: What a call costs in tokens, of what its client expects: at least and at most.
        favoured: A client that is counted, and never refused.
    """

    hold_ms: tuple[float, float] = (2.0, 6.0)
    failures: float = 0.0
    form: str = "none"
    counted: str = "anywhere"
    costs: tuple[float, float] = (0.5, 1.5)
    favoured: str = ""


@dataclass(slots=True)
class Service:
    """All limits, what was counted, and chance, which is the same in each run."""

    manner: Manner = field(default_factory=Manner)
    counts: list[Counted] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    calls: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    answered: list[tuple[str, float, int]] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        return {
            "limits": {each.rule.name: each.report() for each in self.counts},
            "calls": self.calls,
            "statuses": self.statuses,
            "answered": self.answered,
            "now_ms": now_ms(),
        }

    async def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Judge, hold and answer one call, which has arrived now."""
        arrived_ms, client = now_ms(), headers.get("x-client", "a client without a name")
        counts = [each for each in self.counts if path.startswith(each.rule.prefix)]
        self.calls[client] = self.calls.get(client, 0) + 1
        asked = _asked(headers, body)
        tokens = round(asked * self.chance.uniform(*self.manner.costs))
        hold_ms = self.chance.uniform(*self.manner.hold_ms)
        counted_ms = {"arrival": 0.0, "answer": hold_ms}.get(self.manner.counted, self.chance.uniform(0, hold_ms))
        is_failure = self.chance.random() < self.manner.failures
        refusing = [each for each in counts if not each.arrive(arrived_ms, client)]  # all of them note it
        is_welcome = not refusing or client == self.manner.favoured
        if is_welcome:
            is_welcome = await self._hold(counts, arrived_ms, counted_ms, hold_ms, client, tokens)
        status = 429 if not is_welcome else 500 if is_failure else 200
        self.statuses[str(status)] = self.statuses.get(str(status), 0) + 1
        self.answered.append((client, arrived_ms, status))
        return status, self._words(counts, is_refused=not is_welcome), _body(tokens if status == 200 else None)

    async def _hold(
        self, counts: Sequence[Counted], at_ms: float, counted_ms: float, hold_ms: float, client: str, tokens: int
    ) -> bool:
        for each in counts:
            each.begin()
        try:
            await _sleep_until(at_ms + counted_ms)
            at_counted_ms = now_ms()
            refusing = [each for each in counts if not each.has_room(at_counted_ms, client)]  # all of them note it
            if refusing and client != self.manner.favoured:
                return False
            for each in counts:
                each.use(at_counted_ms, tokens)
            await _sleep_until(at_ms + hold_ms)
            return True
        finally:
            for each in counts:
                each.end(at_ms, now_ms())

    def _words(self, counts: Sequence[Counted], *, is_refused: bool) -> dict[str, str]:
        said: dict[str, str] = {}
        at_ms = now_ms()
        for each in counts:
            rule = each.rule
            if rule.count:
                left = max(0, rule.count - each.taken_at(at_ms))
                after_ms = max(0.0, each.back_at_ms(at_ms) - at_ms)
                of = Left(rule.count, left, rule.window_ms, after_ms, at_ms / 1_000, is_refused, rule.unit)
                said |= FORMS[self.manner.form](of)
        return said


def now_ms() -> float:
    return OFFSET_MS + time.monotonic() * 1_000


OFFSET_MS = (time.time() - time.monotonic()) * 1_000
"""So that times are of the machine's clock, and never step back."""


class Connection(asyncio.Protocol):
    """One connection: one request after another, each answered before the next is read."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""
        self._answering: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._answering is not None:
            self._answering.cancel()

    def _next(self) -> None:
        head, end, rest = self._buffer.partition(HEAD_END)
        if not end or self._answering is not None:
            return
        request, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        method, path, _ = request.split(" ")
        self._answering = asyncio.get_running_loop().create_task(self._answer(method, path, headers, rest[:length]))

    async def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        status, said, content = await self._server.answer(method, path, headers, body)
        assert self._transport is not None
        said = {"Content-Type": "application/json", "Content-Length": str(len(content)), **said}
        head = "\r\n".join([f"HTTP/1.1 {status} {REASONS[status]}", *(f"{name}: {of}" for name, of in said.items())])
        self._transport.write(head.encode() + HEAD_END + content)
        self._answering = None
        self._next()


class Server:
    """Answers all connections; what it counts may begin anew."""

    def __init__(self, rules: Mapping[str, Any]) -> None:
        self.service = service_of(rules)

    async def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if path == "/-/report":
            return 200, {}, json.dumps(self.service.report()).encode()
        if path == "/-/rules" and method == "POST":
            self.service = service_of(json.loads(body))
            return 200, {}, b"{}"
        return await self.service.answer(path, headers, body)


def service_of(rules: Mapping[str, Any]) -> Service:
    """Return a service from its JSON: ``rules``, ``manner`` and ``seed``."""
    manner = dict(rules.get("manner", {}))
    manner |= {name: tuple(manner[name]) for name in ("hold_ms", "costs") if name in manner}
    counts = [Counted(Rule(**each)) for each in rules.get("rules", [])]
    return Service(Manner(**manner), counts, random.Random(rules.get("seed", 1)))


async def serve(port: int, rules: Mapping[str, Any]) -> None:
    """Serve until cancelled; say the port when it is open."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    server = Server(rules)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=1_000)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await listening.serve_forever()


async def _sleep_until(at_ms: float) -> None:
    if (left_ms := at_ms - now_ms()) > 0:
        await asyncio.sleep(left_ms / 1_000)


def _asked(headers: Mapping[str, str], body: bytes) -> int:
    """Return how many tokens a client expects: of a header, or of a chat completion."""
    if (asked := headers.get("x-tokens")) is not None:
        return int(asked)
    if b'"max_tokens"' in body:
        return int(json.loads(body)["max_tokens"])
    return 0


def _body(tokens: int | None) -> bytes:
    if tokens is None:
        return b'{"error": {"message": "not now", "code": 20429, "type": "refused"}}'
    usage = {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return json.dumps(answer).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rules", type=Path)
    given = parser.parse_args()
    rules = json.loads(given.rules.read_text(encoding="utf-8")) if given.rules else {}
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.port, rules))


if __name__ == "__main__":
    main()
