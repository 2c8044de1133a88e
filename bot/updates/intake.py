"""Receives updates: each is stored before it is confirmed, and handled once, in the order of its key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
from aiogram import Bot
from aiogram.exceptions import AiogramError
from aiogram.methods import TelegramMethod
from aiogram.types import Update
from pydantic import ValidationError

from tempogram.api.core.ports import IntakeFull, Refusal
from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.method_classes import AnyMethod
from tempogram.bot.telegram.methods import QUEUED
from tempogram.bot.telegram.priority import priority_of
from tempogram.bot.telegram.update_context import UpdateContext
from tempogram.bot.updates.handler_pool import HandlerPool, Job, is_ending
from tempogram.bot.updates.handler_run import HandlerRun, HandlerTimeout
from tempogram.bot.updates.nesting import DEPTH_MAX, is_cut_off, is_too_deep, update_id_in
from tempogram.bot.updates.normalize import normalize
from tempogram.bot.updates.order import Order, album_of, is_query, order_key
from tempogram.bot.updates.recorder import Recorder
from tempogram.engine.model.errors import LedgerError, QueueFull, UnstorableValue
from tempogram.engine.ports import Clock
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import observed, retry_ledger
from tempogram.engine.resilience.retry import Sleep
from tempogram.storage.bots import RegisteredBot
from tempogram.storage.updates import ReceivedUpdate, Updates

log = structlog.get_logger()

Answer = TypeVar("Answer")

PAGE = 500
"""Updates adopted at a time from a process that has ended."""

NOT_AN_UPDATE = "an update is a JSON object with an update_id, a whole number"
TOO_DEEP = f"the update is nested deeper than {DEPTH_MAX} levels, so it is none of Telegram's"

ADOPT_EVERY_S = 10.0
"""Between two looks for updates of a process that has ended; untuned: a look costs one query."""


class Handlers(Protocol):
    """See ``bot.behaviours.dispatchers.Dispatchers``."""

    async def feed_update(self, bot: Bot, update: Update, *, registered: RegisteredBot) -> Any:
        """Return what the handler of an update returned."""


class NotJson(Refusal):
    """No parser takes an update."""


class UpdateIntake:
    """See ``api.core.ports.Intake``.

    An update whose handler raises, or runs for too long, is marked as failed, with the reason. One whose handler cannot
    reach the database is handled again until it can, and later updates of its key wait for it; one of which the
    database does not take a value, such as the id of a chat beyond 64 bits, fails once.

    Args:
        watch: Is called with an update and its bot's id when its handler begins; it returns at once.
    """

    def __init__(
        self,
        *,
        updates: Updates,
        fleet: Fleet,
        dispatcher: Handlers,
        gateway: Gateway,
        pool: HandlerPool,
        clock: Clock,
        conditions: Conditions,
        order: Order = Order.USER,
        sleep: Sleep = asyncio.sleep,
        recorder: Recorder | None = None,
        watch: Callable[[Update, int], None] | None = None,
    ) -> None:
        self._updates = updates
        self._fleet = fleet
        self._dispatcher = dispatcher
        self._gateway = gateway
        self._pool = pool
        self._clock = clock
        self._conditions = conditions
        self._order = order
        self._sleep = sleep
        self._recorder = recorder
        self._watch = watch
        self._in_doubt: set[tuple[int, int]] = set()

    async def receive(self, bot_id: int, body: bytes) -> None:
        """See ``Intake``."""
        if is_too_deep(body):
            return skip(bot_id, body, TOO_DEEP)
        try:
            content = decode(body)
        except NotJson as error:
            if is_cut_off(body):
                raise
            return skip(bot_id, body, str(error))
        if self._pool.is_full(bot_id):
            raise IntakeFull("too many updates of this bot wait for a handler; deliver this one again later")
        update_id, now_ms = content["update_id"], self._clock()
        if await self._store(bot_id, update_id, body, now_ms):
            self._handle_later(bot_id, update_id, content, now_ms)
        return None

    async def _store(self, bot_id: int, update_id: int, body: bytes, now_ms: int) -> bool:
        """Store an update; return whether to handle it: it is new, or an earlier attempt's answer was lost."""
        key = bot_id, update_id
        try:
            with observed(self._conditions):
                is_new = await self._updates.receive(bot_id, update_id, body, now_ms=now_ms)
        except LedgerError:
            self._in_doubt.add(key)
            raise
        was_in_doubt = key in self._in_doubt
        self._in_doubt.discard(key)
        return is_new or was_in_doubt

    async def resume(self) -> int:
        """Handle what processes that have ended received and did not handle; return how many updates."""
        resumed = 0
        while page := await self._updates.adopt(limit=PAGE):
            for received in page:
                self._resume(received)
            resumed += len(page)
        return resumed

    async def adopt(self) -> None:
        """Adopt updates of ended processes regularly, until cancelled."""
        while True:
            await self._sleep(ADOPT_EVERY_S)
            if resumed := await self._retry(self.resume):
                log.warning("updates_adopted", updates=resumed)

    def _resume(self, received: ReceivedUpdate) -> None:
        bot_id, update_id = received.bot_id, received.update_id
        try:
            content = decode(received.body)
        except Refusal as error:  # an older version stored it; no start must fail for it
            self._give_up_later(bot_id, update_id, str(error))
        else:
            self._handle_later(bot_id, update_id, content, received.received_at_ms)

    def _give_up_later(self, bot_id: int, update_id: int, reason: str) -> None:
        async def give_up(_: HandlerRun) -> None:
            await self._give_up(bot_id, update_id, reason)

        self._pool.submit(Job(bot_id, (bot_id, update_id), give_up))

    def _handle_later(self, bot_id: int, update_id: int, content: dict[str, Any], received_at_ms: int) -> None:
        async def handle(run: HandlerRun) -> None:
            await self._handle(run, update_id, content, received_at_ms)

        key = order_key(content, self._order)
        self._pool.submit(
            Job(
                bot_id,
                (bot_id, key),
                handle,
                chat_id=key.chat_id,
                is_query=is_query(content),
                album=album_of(content),
            )
        )

    async def _handle(self, run: HandlerRun, update_id: int, content: dict[str, Any], received_at_ms: int) -> None:
        async def sleep(seconds: float) -> None:
            with run.paused():
                await self._sleep(seconds)

        bot_id = run.bot_id
        try:
            # Retried until the database is back: what was submitted before has the same keys, and is accepted once.
            await self._retry(lambda: self._handle_once(run, update_id, content, received_at_ms), sleep)
        except asyncio.CancelledError:
            if is_ending():
                raise
            log.warning("handler_cancelled", bot_id=bot_id, update_id=update_id)
            await self._give_up(bot_id, update_id, asyncio.CancelledError.__name__)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything; it is logged below
            await self._give_up(bot_id, update_id, _failure_reason(error, bot_id, update_id))

    async def _handle_once(self, run: HandlerRun, update_id: int, content: dict[str, Any], received_at_ms: int) -> None:
        bot_id = run.bot_id
        if not self._fleet.registry.has(bot_id):
            await self._fleet.reload([bot_id])  # the process that added it may have ended before it announced that
        if bot_id in self._fleet.registry.unreadable and not self._fleet.registry.has(bot_id):
            return None  # the next start handles it, if the bot has a token by then
        if not self._fleet.registry.has(bot_id):
            reason, now_ms = "its bot was removed", self._clock()
            return await self._updates.mark_failed(bot_id, update_id, reason=reason, now_ms=now_ms)
        await self._run_handlers(run, self._fleet.registry.bot(bot_id), content, received_at_ms)
        return await self._updates.mark_handled([(bot_id, update_id)], now_ms=self._clock())

    async def _give_up(self, bot_id: int, update_id: int, reason: str) -> None:
        async def write() -> None:
            await self._updates.mark_failed(bot_id, update_id, reason=reason, now_ms=self._clock())

        await self._retry(write)

    async def _retry(self, work: Callable[[], Awaitable[Answer]], sleep: Sleep | None = None) -> Answer:
        return await retry_ledger(work, sleep=sleep or self._sleep, conditions=self._conditions)

    async def _run_handlers(self, run: HandlerRun, bot: Bot, content: dict[str, Any], received_at_ms: int) -> None:
        update = Update.model_validate(normalize(content, self._clock() // 1_000), context={"bot": bot})
        registered = self._fleet.registry.registered(bot.id)
        if self._watch is not None:
            self._watch(update, bot.id)
        if self._recorder is not None:
            await self._recorder.record(update, registered, received_at_ms=received_at_ms)
        priority = priority_of(update, bot.id, registered.username)
        context = UpdateContext(bot.id, update.update_id, priority, update_context.user_of(update), run)
        with update_context.of(context):
            returned = await run.within_timeout(self._dispatcher.feed_update(bot, update, registered=registered))
            await self._make_calls(bot, methods_in(returned))

    async def _make_calls(self, bot: Bot, methods: Sequence[AnyMethod]) -> None:
        """Make the calls that a handler returned, each whatever became of those before it.

        Raises:
            AiogramError, QueueFull, Refusal: Of the first call that was refused, after the last call.
            LedgerError: At once, as all of them are made again.
        """
        refusals: list[Exception] = []
        for method in methods:
            rule = QUEUED.get(method.__api_method__)
            try:
                await (bot(method) if rule is None else self._gateway.submit(bot, method, rule))
            except (AiogramError, QueueFull, Refusal) as refusal:
                refusals.append(refusal)
        if refusals:
            raise refusals[0]


def decode(body: bytes) -> dict[str, Any]:
    """Return an update as JSON.

    Raises:
        NotJson: No parser takes it.
        Refusal: It is not an object with an ``update_id``.

    >>> decode(b'{"update_id": 7}')
    {'update_id': 7}
    """
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(f"the update is not JSON: {error}") from None
    except RecursionError:
        raise NotJson(TOO_DEEP) from None
    update_id = content.get("update_id") if isinstance(content, dict) else None
    if not isinstance(update_id, int) or isinstance(update_id, bool) or not 0 <= update_id < 2**63:
        raise Refusal(NOT_AN_UPDATE)
    return dict(content)


def skip(bot_id: int, body: bytes, reason: str) -> None:
    """Log an update that cannot be read; to the caller it is received, or Telegram would deliver it for ever.

    Raises:
        Refusal: It has no ``update_id``.
    """
    update_id = update_id_in(body)
    if update_id is None:
        raise Refusal(NOT_AN_UPDATE)
    log.warning("update_skipped", bot_id=bot_id, update_id=update_id, reason=reason)


def methods_in(returned: object) -> list[AnyMethod]:
    """Return the methods among what a handler returned: one, or a list or tuple of them."""
    each = returned if isinstance(returned, list | tuple) else [returned]
    return [method for method in each if isinstance(method, TelegramMethod)]


def _failure_reason(error: Exception, bot_id: int, update_id: int) -> str:
    """Log why a handler failed, and return the reason without the user's words, which a validation error quotes."""
    if isinstance(error, HandlerTimeout):
        reason, handler = str(error), error.handler
        log.error("handler_timed_out", bot_id=bot_id, update_id=update_id, handler=handler, timeout_s=error.timeout_s)
    elif isinstance(error, ValidationError):
        reason = _invalid_field(error)
        log.error("handler_failed", bot_id=bot_id, update_id=update_id, reason=reason)
    elif isinstance(error, UnstorableValue):
        reason = str(error)
        log.error("handler_failed", bot_id=bot_id, update_id=update_id, reason=reason)
    else:
        reason = type(error).__name__
        log.error("handler_failed", bot_id=bot_id, update_id=update_id, reason=reason, exc_info=error)
    return reason


def _invalid_field(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"aiogram cannot read it: {'.'.join(map(str, first['loc']))}: {first['msg']}"
