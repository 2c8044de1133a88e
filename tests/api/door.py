"""A Bot API door over the fakes: the queue is the real one, and Telegram answers what the test says."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from tempogram.api.app import create_app
from tempogram.api.core.dependencies import Door
from tempogram.api.core.errors import NotFound
from tempogram.api.core.ports import ApiAnswer, Crowded, PassedAnswer, PassedCall, UnknownToken
from tempogram.bot.calls.endings import Endings
from tempogram.bot.door.answers import Answers
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Again, Lease, Settlement, Status
from tempogram.engine.model.outcomes import Outcome, Sent
from tempogram.engine.ports import Progress, Result
from tests.api.fakes import BOT_ID, BOT_TOKEN, World

ELSEWHERE_TOKEN, ELSEWHERE_ID = "44:AAF1kZq-3nT0k3nT0k3nT0k3nT0k3nT0k3n", 44
"""Of a bot whose updates do not come here."""

SENT_BODY = b'{"ok":true,"result":{"message_id":9,"date":1,"chat":{"id":7,"type":"private"},"text":"hello"}}'


class ListedTokens:
    """Knows some tokens, as Telegram would."""

    def __init__(self) -> None:
        self.known = {BOT_TOKEN: BOT_ID, ELSEWHERE_TOKEN: ELSEWHERE_ID}

    async def bot_of(self, token: str) -> int:
        if ":" not in token:
            raise NotFound("Not Found")
        if token not in self.known:
            raise UnknownToken("Telegram does not know it")
        return self.known[token]


class ManualWait:
    """A wait that is over when the test says so."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        self.over = asyncio.Event()
        self.noted: list[bool] = []
        self.has_begun = False

    def note(self, progress: Progress) -> None:
        self.noted.append(progress.is_calling)

    async def until(self, future: asyncio.Future[Result]) -> Result:
        self.has_begun = True
        over = asyncio.create_task(self.over.wait())
        either: set[asyncio.Future[Any]] = {over, future}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if future.done():
            return future.result()
        raise TimeoutError


class Places:
    """Any number of places; none while ``is_full``."""

    def __init__(self) -> None:
        self.is_full = False
        self.taken: Counter[int] = Counter()

    def may_take(self, bot_id: int) -> bool:
        return not self.is_full

    def take(self, bot_id: int) -> None:
        self.taken[bot_id] += 1

    def give_back(self, bot_id: int) -> None:
        self.taken[bot_id] -= 1


class ScriptedTelegram:
    """Answers everything that is passed on in the same way."""

    def __init__(self) -> None:
        self.calls: list[PassedCall] = []
        self.bodies: list[bytes] = []
        self.actions: list[Mapping[str, Any]] = []
        self.is_crowded = False
        self.hangs = False
        self.breaks: Exception | None = None
        """What ends an answer after its first bytes."""
        self.was_cut_off = asyncio.Event()

    @asynccontextmanager
    async def open(self, call: PassedCall) -> AsyncIterator[PassedAnswer]:
        if self.is_crowded:
            raise Crowded("more calls are passed on than may")
        self.calls.append(call)
        self.bodies.append(b"" if call.body is None else b"".join([chunk async for chunk in call.body]))
        if self.hangs:
            await self._hang()
        yield PassedAnswer(200, [(b"content-type", b"text/plain")], self._chunks(b"what Telegram", b" said"))

    async def _hang(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cut_off.set()
            raise

    async def show_action(self, bot_id: int, token: str, params: Mapping[str, Any]) -> ApiAnswer:
        self.actions.append(params)
        return ApiAnswer(200, b'{"ok":true,"result":true}')

    async def _chunks(self, *chunks: bytes) -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
            if self.breaks is not None:
                raise self.breaks


@dataclass
class DoorWorld(World):
    """A world with a door; ``waits``: each wait that has begun."""

    tokens: ListedTokens = field(default_factory=ListedTokens)
    telegram: ScriptedTelegram = field(default_factory=ScriptedTelegram)
    places: Places = field(default_factory=Places)
    waits: list[ManualWait] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bots.register(ELSEWHERE_ID, {})
        self.ids = Ids(process=1)
        door = Door(
            tokens=self.tokens,
            calls=Answers(),
            endings=Endings(self.results, self.storage.standings),
            telegram=self.telegram,
            gets_updates=lambda bot_id: bot_id == BOT_ID,
            place_wait=self._begin_wait,
            waiting=self.places,
            wait_s=3,
        )
        self.dependencies = replace(self.dependencies, door=door)
        self.app = create_app(self.dependencies)
        self.anonymous = self._client({})

    def _begin_wait(self, wait_s: float) -> ManualWait:
        self.waits.append(ManualWait(wait_s))
        return self.waits[-1]

    async def call(self, method: str, *, token: str = BOT_TOKEN, **request: Any) -> httpx.Response:
        return await self.anonymous.post(f"/bot{token}/{method}", **request)

    async def calling(self, method: str = "sendMessage", **request: Any) -> tuple[asyncio.Task[httpx.Response], str]:
        """Begin a call, and return it and its message once that is in the queue."""
        known = set(self.storage.messages)
        calling = asyncio.create_task(self.call(method, **request))
        await until(lambda: self.storage.messages.keys() > known)
        (message_id,) = self.storage.messages.keys() - known
        await self.until_queued(message_id)
        return calling, message_id

    async def until_queued(self, message_id: str) -> None:
        """Wait until a message is in the queue, and its client waits for it."""
        waits = len(self.waits)
        while not (await self.broker.knows([message_id]))[0]:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
        await until(lambda: self.waits[waits - 1].has_begun)

    async def until_waits(self, number: int) -> None:
        """Wait until so many waits have begun."""
        await until(lambda: len(self.waits) >= number and self.waits[number - 1].has_begun)

    async def end_as(self, message_id: str, outcome: Outcome | None, status: Status = Status.SENT) -> None:
        """End a message as the engine would."""
        await self.storage.end(message_id, status)
        await self.results.publish(Result(message_id, status, outcome))

    async def sent(self, message_id: str) -> None:
        await self.end_as(message_id, Sent(9, SENT_BODY))

    async def back_in_queue(self, lease: Lease) -> None:
        """End a lease without an end of its message, as after a 5xx."""
        await self.broker.settle([Settlement(lease, Again(0), counted_age_ms=0)])

    def status(self, message_id: str) -> Status:
        return self.storage.statuses[message_id]


async def until(holds: Callable[[], object]) -> None:
    """Let the others run until it holds; no event tells it."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{holds} still does not hold")


def refusal_of(response: httpx.Response) -> tuple[int, str]:
    """Return the code and the description of a refusal; assert that its body agrees with its status."""
    body = json.loads(response.content)
    assert body["ok"] is False
    assert body["error_code"] == response.status_code
    return response.status_code, body["description"]
