"""Judges, holds and answers calls as a strict service does; knows nothing of HTTP's wire."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tempogram.simulator.services.counts import Counted, Rule, newest
from tempogram.simulator.services.words import FORMS, Left

CALLS_KEPT = 1_000
BODY_KEPT_BYTES = 65_536

REFUSED = {"error": {"message": "not now", "code": 20429, "type": "refused"}}


@dataclass(frozen=True, slots=True)
class Manner:
    """How calls are answered.

    Attributes:
        hold_ms: From arrival to answer, at least and at most.
        failures: Share of calls that are answered with ``failure_status``; they are counted like others.
        form: Of what is said of the limits, see ``FORMS``.
        counted: ``arrival``, ``answer`` or ``anywhere``.
        costs: What a call costs in tokens, of what its client expects: at least and at most.
        favoured: A client that is counted, and never refused.
        throttled: Share of calls that are answered with 429 though they break nothing; they are not counted.
        after_ms: When such a 429 says that there is room again.
        is_hanging: No call is answered; each is under way until its client has gone.
        answer: What a 200 has in its body, as JSON; None: a chat completion, which says what it cost.
    """

    hold_ms: tuple[float, float] = (2.0, 6.0)
    failures: float = 0.0
    form: str = "none"
    counted: str = "anywhere"
    costs: tuple[float, float] = (0.5, 1.5)
    favoured: str = ""
    throttled: float = 0.0
    after_ms: float = 1_000.0
    is_hanging: bool = False
    answer: Any = None
    failure_status: int = 500

    def __post_init__(self) -> None:
        """Refuse a value that makes no sense, naming it."""
        if self.form not in FORMS:
            raise ValueError(f"form is {self.form!r}; it must be one of {', '.join(FORMS)}")
        for name in ("failures", "throttled"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be a share from 0 to 1")


@dataclass(frozen=True, slots=True)
class Call:
    """One call, which has arrived completely."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def client(self) -> str:
        return self.headers.get("x-client", "a client without a name")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Service:
    """All limits, what was counted, and chance, which is the same in each run.

    Attributes:
        ordered: What the next calls are answered, whatever is counted.
        answered: Client, arrival and status of each call.
        kept: The newest calls, with their bodies.
    """

    manner: Manner = field(default_factory=Manner)
    counts: list[Counted] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    ordered: deque[int] = field(default_factory=deque)
    calls: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    answered: deque[tuple[str, float, int]] = field(default_factory=newest)
    kept: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))

    def report(self) -> dict[str, Any]:
        return {
            "limits": {each.rule.name: each.report() for each in self.counts},
            "calls": self.calls,
            "statuses": self.statuses,
            "answered": list(self.answered),
            "now_ms": now_ms(),
        }

    async def answer(self, call: Call) -> Answer:
        """Judge, hold and answer one call, which has arrived now."""
        arrived_ms, kept = now_ms(), self._keep(call)
        counts = [each for each in self.counts if call.path.startswith(each.rule.prefix)]
        self.calls[call.client] += 1
        tokens = round(_asked(call) * self.chance.uniform(*self.manner.costs))
        wanted = self._wanted()
        is_welcome = await self._judge(counts, call, arrived_ms, tokens, is_ordered_off=wanted == 429)
        status = wanted if is_welcome else 429
        self.statuses[str(status)] += 1
        self.answered.append((call.client, arrived_ms, status))
        kept |= {"status": status, "ended_ms": now_ms()}
        said = self._words(counts, is_refused=status == 429, is_ordered_off=wanted == 429)
        return Answer(status, said, self._body(status, tokens))

    def change(self, manner: Mapping[str, Any]) -> None:
        """Answer in another manner from now on; what was counted stays.

        Raises:
            ValueError: There is no such word, or its value makes no sense.
        """
        self.manner = _changed(self.manner, manner)

    def order(self, status: int, times: int) -> None:
        """Answer the next calls so."""
        self.ordered.extend([status] * times)

    def forget(self) -> None:
        """Count anew; the limits and the manner stay."""
        self.counts = [Counted(each.rule, under_way=each.under_way) for each in self.counts]
        for seen in (self.calls, self.statuses, self.answered, self.kept):
            seen.clear()

    def _keep(self, call: Call) -> dict[str, Any]:
        kept = {
            "method": call.method,
            "path": call.path,
            "headers": dict(call.headers),
            "body": call.body[:BODY_KEPT_BYTES].decode(errors="replace"),
            "began_ms": now_ms(),
            "status": 0,
            "ended_ms": None,
        }
        self.kept.append(kept)
        return kept

    def _wanted(self) -> int:
        """Return what this call is answered if it breaks nothing."""
        if self.ordered:
            return self.ordered.popleft()
        if self.chance.random() < self.manner.throttled:
            return 429
        return self.manner.failure_status if self.chance.random() < self.manner.failures else 200

    async def _judge(
        self, counts: Sequence[Counted], call: Call, at_ms: float, tokens: int, *, is_ordered_off: bool
    ) -> bool:
        hold_ms = self.chance.uniform(*self.manner.hold_ms)
        counted_ms = {"arrival": 0.0, "answer": hold_ms}.get(self.manner.counted, self.chance.uniform(0, hold_ms))
        refusing = [each for each in counts if not each.arrive(at_ms, call.client)]  # all of them note it
        if is_ordered_off or (refusing and call.client != self.manner.favoured):
            return False
        return await self._hold(counts, call, at_ms, counted_ms, hold_ms, tokens)

    async def _hold(
        self, counts: Sequence[Counted], call: Call, at_ms: float, counted_ms: float, hold_ms: float, tokens: int
    ) -> bool:
        for each in counts:
            each.begin()
        try:
            await _sleep_until(at_ms + counted_ms)
            at_counted_ms = now_ms()
            refusing = [each for each in counts if not each.has_room(at_counted_ms, call.client)]  # all of them note it
            if refusing and call.client != self.manner.favoured:
                return False
            for each in counts:
                each.use(at_counted_ms, tokens)
            if self.manner.is_hanging:
                await asyncio.Event().wait()
            await _sleep_until(at_ms + hold_ms)
            return True
        finally:
            for each in counts:
                each.end(at_ms, now_ms())

    def _words(self, counts: Sequence[Counted], *, is_refused: bool, is_ordered_off: bool) -> dict[str, str]:
        said: dict[str, str] = {}
        for left in self._left(counts, is_refused=is_refused):
            ordered = replace(left, left=0, after_ms=self.manner.after_ms)
            said |= FORMS[self.manner.form](ordered if is_ordered_off else left)
        return said

    def _left(self, counts: Sequence[Counted], *, is_refused: bool) -> Iterator[Left]:
        """Yield what is left of each window; where there is none, a refusal is said as one of a single call."""
        at_ms = now_ms()
        for each in [each for each in counts if each.rule.count] or (counts[:1] if is_refused else []):
            rule = each.rule
            left = max(0, rule.count - each.taken_at(at_ms))
            after_ms = max(0.0, each.back_at_ms(at_ms) - at_ms)
            yield Left(max(1, rule.count), left, rule.window_ms, after_ms, at_ms / 1_000, is_refused, rule.unit)

    def _body(self, status: int, tokens: int) -> bytes:
        if status != 200:
            return json.dumps(REFUSED).encode()
        return json.dumps(_completion(tokens) if self.manner.answer is None else self.manner.answer).encode()


def service_of(rules: Mapping[str, Any]) -> Service:
    """Return a service from its JSON: ``rules``, ``manner`` and ``seed``.

    Raises:
        ValueError: There is no such word, or its value makes no sense.
    """
    try:
        counts = [Counted(Rule(**each)) for each in rules.get("rules", [])]
    except TypeError as error:
        raise ValueError(f"a rule makes no sense: {error}") from None
    manner = _changed(Manner(), rules.get("manner", {}))
    return Service(manner, counts, random.Random(rules.get("seed", 1)))


def now_ms() -> float:
    return OFFSET_MS + time.monotonic() * 1_000


OFFSET_MS = (time.time() - time.monotonic()) * 1_000
"""So that times are of the machine's clock, and never step back."""


def _changed(manner: Manner, changes: Mapping[str, Any]) -> Manner:
    try:
        pairs = {name: tuple(changes[name]) for name in ("hold_ms", "costs") if name in changes}
        return replace(manner, **{**changes, **pairs})
    except TypeError as error:
        raise ValueError(f"the manner makes no sense: {error}") from None


async def _sleep_until(at_ms: float) -> None:
    if (left_ms := at_ms - now_ms()) > 0:
        await asyncio.sleep(left_ms / 1_000)


def _asked(call: Call) -> int:
    """Return how many tokens a client expects: of a header, or of a chat completion; 0 if it does not say."""
    try:
        if (asked := call.headers.get("x-tokens")) is not None:
            return int(asked)
        return int(json.loads(call.body)["max_tokens"]) if b'"max_tokens"' in call.body else 0
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0


def _completion(tokens: int) -> dict[str, Any]:
    usage = {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
