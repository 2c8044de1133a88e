"""One call from its arrival to its answer: faults, then checks, then windows, then the effect."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tempogram.simulator.limits.faults import Fault, Faults
from tempogram.simulator.limits.record import Arrival, Record
from tempogram.simulator.limits.windows import Throttle, Windows
from tempogram.simulator.methods.calls import Call, Params, Refused, Upload, bad_request, too_many_requests
from tempogram.simulator.methods.methods import METHODS, Method, allow_updates
from tempogram.simulator.methods.params import flag_of, is_missing, number_of
from tempogram.simulator.settings import SimulatorSettings
from tempogram.simulator.world.mailbox import Mailbox
from tempogram.simulator.world.world import Bot, World

SERVER_ERRORS = {
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
POLL_LIMIT = 100
POLL_TIMEOUT_S = 50


class Lost(Exception):
    """No answer is given: the connection is reset, or nothing comes until the client gives up."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


@dataclass(slots=True)
class Telegram:
    """The simulated Telegram without HTTP."""

    settings: SimulatorSettings
    world: World = field(init=False)
    windows: Windows = field(init=False)
    faults: Faults = field(init=False)
    record: Record = field(init=False)

    def __post_init__(self) -> None:
        """Begin with an empty world."""
        self.world = World(self.settings)
        self.reset()

    def reset(self) -> None:
        """Forget windows, faults and the record; bots, chats and updates stay."""
        self.windows = Windows(self.settings)
        self.faults = Faults()
        self.record = Record(self.settings.calls_kept, self.settings.unique_prefix)

    def change(self, settings: SimulatorSettings) -> None:
        """Go on under other settings; places already taken stay taken, and bounds hold for what comes."""
        self.settings = self.world.settings = self.windows.settings = settings
        self.record.unique_prefix = settings.unique_prefix

    def order(self, fault: Fault) -> int:
        """Put a fault in force and return its number.

        Raises:
            ValueError: Its chat is unknown.
        """
        chat_id = None
        if fault.chat_id is not None:
            chat_id = self.world.chat_id_of(fault.chat_id)
            if chat_id is None:
                raise ValueError(f"there is no chat {fault.chat_id!r}")
        return self.faults.add(fault, chat_id=chat_id, now_ns=time.monotonic_ns())

    def migrate(self, chat_id: int, to_chat_id: int | None = None) -> int:
        """Make a supergroup of a group and return its id; what was taken of its windows stays taken."""
        new_chat_id = self.world.migrate(chat_id, to_chat_id)
        self.windows.move(chat_id, new_chat_id)
        return new_chat_id

    def refuse_unknown(self, refused: Refused, bot_id: int, method: str) -> None:
        """Record a call that got no further than its address."""
        known = METHODS.get(method.lower())
        self.record.add(Arrival(time.monotonic_ns(), bot_id, 0, known.name if known else "?", 0, refused.code))

    def refuse_unread(self, refused: Refused, bot: Bot, method: Method) -> None:
        """Record a call whose body made no sense."""
        self.record.add(Arrival(time.monotonic_ns(), bot.bot_id, 0, method.name, 0, refused.code))

    def arrive(self, bot: Bot, method: Method, params: Params) -> Call:
        """Stamp a call whose last byte was just read."""
        at_ns = time.monotonic_ns()
        given = params.get("chat_id")
        chat_id = None if given is None else self.world.chat_id_of(given)
        return Call(bot, method.name, params, chat_id or 0, at_ns)

    async def answer(self, call: Call, method: Method) -> Any:
        """Answer one call.

        Raises:
            Refused: Telegram's answer is an error.
            Lost: There is no answer.
        """
        slow = self._latency(call, method)
        here_ms, back_ms = slow.ways_ms() if slow is not None else (0.0, 0.0)
        if here_ms:
            await asyncio.sleep(here_ms / 1_000)
            call.at_ns = time.monotonic_ns()  # the call arrives after it
        try:
            return await self._answer(call, method)
        finally:
            if back_ms:
                await asyncio.sleep(back_ms / 1_000)

    async def _answer(self, call: Call, method: Method) -> Any:
        fault = self._failure(call, method)
        lost = fault.kind if fault is not None and fault.kind in {"reset_before", "reset_after", "hang"} else ""
        if fault is not None and (lost == "reset_before" or (lost == "hang" and not fault.processed)):
            self._note(call, 0, lost)
            raise Lost(lost)
        try:
            if fault is not None and not lost:
                self._fail(fault, call)
            result = await self._poll(call) if method.name == "getUpdates" else self._process(call, method)
        except Refused as refused:
            self._note(call, refused.code, lost)
            if lost:
                raise Lost(lost) from refused
            raise
        self._note(call, 200, lost)
        if lost:
            raise Lost(lost)
        return result

    def _process(self, call: Call, method: Method) -> Any:
        is_inline = "inline_message_id" in call.params
        if method.needs_chat and not is_inline:
            self._check_chat(call)
        checked, billed = method.check(call.params), 0
        if method.reference is not None:
            checked = method.reference(self.world, call, checked)
        if method.counts and call.chat_id:
            call.cost = method.cost(checked)
            is_paid = flag_of(call.params, "allow_paid_broadcast")
            throttle = self.windows.admit(call.bot.bot_id, call.chat_id, call.cost, now_ns=call.at_ns, is_paid=is_paid)
            if throttle is not None:
                raise self._throttled(throttle, call)
            billed = self.windows.above_free(call.bot.bot_id, call.cost, now_ns=call.at_ns) if is_paid else 0
        elif method.name == "setWebhook":
            throttle = self.windows.admit_webhook(call.bot.bot_id, now_ns=call.at_ns)
            if throttle is not None:
                self.record.throttled["webhook"] += 1
                raise too_many_requests(throttle.retry_after_s)
        result = method.answer(self.world, call, checked)
        if billed:
            call.bot.stars.bill(billed, at_s=int(time.time()))
        return result

    def _check_chat(self, call: Call) -> None:
        if is_missing(call.params, "chat_id"):
            raise bad_request("chat_id is empty")
        if not call.chat_id:
            raise bad_request("chat not found")
        to_chat_id = self.world.migrations.get(call.chat_id) if self.world.migrations else None
        if to_chat_id is not None:
            raise _migrated(to_chat_id)
        shut_out = self.world.shut_out.get((call.bot.bot_id, call.chat_id)) if self.world.shut_out else None
        if shut_out is not None:
            raise Refused(403, f"Forbidden: {shut_out}")

    def _throttled(self, throttle: Throttle, call: Call) -> Refused:
        self.record.throttled[throttle.cause] += 1
        call.cost = 0
        return too_many_requests(throttle.retry_after_s)

    async def _poll(self, call: Call) -> list[Any]:
        """Answer ``getUpdates``: at once if there are updates, otherwise when there are or time is up.

        Source: https://core.telegram.org/bots/api#getupdates
        """
        if call.bot.webhook is not None:
            self._process(call, METHODS["getupdates"])
        limit = min(max(number_of(call.params, "limit") or POLL_LIMIT, 1), POLL_LIMIT)
        timeout_s = min(max(number_of(call.params, "timeout") or 0, 0), POLL_TIMEOUT_S)
        mailbox = call.bot.mailbox
        offset = number_of(call.params, "offset")
        allow_updates(call)
        if offset:
            mailbox.confirm(offset)
        poller = mailbox.open_poll()
        try:
            if not mailbox.updates and timeout_s:
                await _wait(poller.woken, timeout_s)
            if poller.replaced:
                raise Refused(409, poller.replaced)
            return list(mailbox.first(limit))
        finally:
            mailbox.close_poll(poller)

    def _latency(self, call: Call, method: Method) -> Fault | None:
        return self.faults.latency(call.bot.bot_id, call.chat_id, method.name, counts=method.counts, now_ns=call.at_ns)

    def _failure(self, call: Call, method: Method) -> Fault | None:
        return self.faults.failure(call.bot.bot_id, call.chat_id, method.name, counts=method.counts, now_ns=call.at_ns)

    def _fail(self, fault: Fault, call: Call) -> None:
        """Refuse the call as the fault says."""
        if fault.kind in {"429", "400_429"}:
            self._hold(fault, call)
        if fault.delivered and call.method == "sendMediaGroup":
            self._send_some(fault, call)
        if fault.kind == "migrated":
            self.migrate(call.chat_id, fault.to_chat_id)
        if fault.kind == "removed":
            self._send_and_remove(call)
        raise FAILURES[fault.kind](fault, call, self.world)

    def _send_some(self, fault: Fault, call: Call) -> None:
        """Let the first items of an album arrive, though the call is refused."""
        method = METHODS["sendmediagroup"]
        items = method.check(call.params)[: fault.delivered]
        self.windows.take(call.bot.bot_id, call.chat_id, len(items), now_ns=call.at_ns)
        method.answer(self.world, call, items)

    def _send_and_remove(self, call: Call) -> None:
        """Let a message take its place and be shown, and remove it at once, as an anti-spam bot does."""
        self._process(call, METHODS[call.method.lower()])
        self.world.messages.delete(call.bot.bot_id, call.chat_id, call.message_id)

    def _hold(self, fault: Fault, call: Call) -> None:
        self.record.throttled["ordered"] += 1
        chat_id = call.chat_id
        if fault.hold == "bot":
            chat_id = 0
        elif fault.hold == "none" or not chat_id:
            return
        self.windows.hold(call.bot.bot_id, chat_id, for_s=fault.retry_after_s, now_ns=call.at_ns)

    def _note(self, call: Call, code: int, lost: str) -> None:
        params = call.params
        text = params.get("text") or params.get("caption") or ""
        self.record.add(
            Arrival(
                call.at_ns,
                call.bot.bot_id,
                call.chat_id,
                call.method,
                call.cost,
                code,
                lost,
                call.message_id,
                text if isinstance(text, str) else str(text),
                len({given.file_id for given in params.values() if isinstance(given, Upload)}),
            )
        )


def end_polls(mailboxes: list[Mailbox]) -> None:
    """Let every waiting poll answer with what there is, because the server closes."""
    for mailbox in mailboxes:
        mailbox.wake()


async def _wait(woken: asyncio.Event, timeout_s: int) -> None:
    try:
        await asyncio.wait_for(woken.wait(), timeout_s)
    except TimeoutError:
        return


def _migrated(to_chat_id: int) -> Refused:
    return Refused(
        400,
        "Bad Request: group chat was upgraded to a supergroup chat",
        migrate_to_chat_id=to_chat_id,
    )


def _hidden_429(fault: Fault, _: Call, __: World) -> Refused:
    return _failed_item(fault, f"Too Many Requests: retry after {fault.retry_after_s}")


def _failed_item(fault: Fault, error: str) -> Refused:
    return bad_request(f'failed to send message #{fault.delivered + 1} with the error message "{error}"')


def _kicked(_: Fault, call: Call, world: World) -> Refused:
    kind = world.chat(call.chat_id).kind if call.chat_id else "group"
    return Refused(403, f"Forbidden: bot was kicked from the {'group' if kind == 'private' else kind} chat")


def _moved(_: Fault, call: Call, world: World) -> Refused:
    return _migrated(world.migrations[call.chat_id])


FAILURES: dict[str, Callable[[Fault, Call, World], Refused]] = {
    "429": lambda fault, _, __: too_many_requests(fault.retry_after_s),
    "400_429": _hidden_429,
    "400_item": lambda fault, _, __: _failed_item(fault, "WEBPAGE_CURL_FAILED"),
    "5xx": lambda fault, _, __: Refused(fault.status, SERVER_ERRORS[fault.status]),
    "blocked": lambda _, __, ___: Refused(403, "Forbidden: bot was blocked by the user"),
    "deactivated": lambda _, __, ___: Refused(403, "Forbidden: user is deactivated"),
    "kicked": _kicked,
    "migrated": _moved,
    "revoked": lambda _, __, ___: Refused(401, "Unauthorized"),
    "removed": lambda _, __, ___: Refused(500, "Internal Server Error: sent message was immediately deleted"),
    "chat_not_found": lambda _, __, ___: bad_request("chat not found"),
}
