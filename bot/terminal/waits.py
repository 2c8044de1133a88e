"""Says of messages that wait for what, and for how long: once for each chat, until nothing of it waits any more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tempogram.bot.terminal.flow import Kind
from tempogram.bot.terminal.lines import bot_waits, in_words, waits
from tempogram.bot.terminal.names import Names
from tempogram.bot.terminal.screen import Line
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import BotChat, Outgoing
from tempogram.engine.ports import Broker, Clock, Explanation, WaitsAt
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.retry import Sleep, every

LOOK_EVERY_S = 0.5
SHOWN_AFTER_MS = 500
"""A shorter wait is none to a person."""

LEFT_MS_MIN = 1_000
"""A wait that is over sooner is not worth a line."""

WAITING_MAX = 1_000
"""Messages that are followed; untuned: of more, no screen could say anything."""

CHATS_A_LOOK = 5
SLOW_MS = 5
PAUSE_TIMES = 100
"""Explaining a message of a bot with many chats takes long; then it may take a hundredth of the time."""

BOT_AGAIN_MS = 10_000
"""Between two lines that say of a whole bot what it waits for."""

OF_CHAT = {
    WaitsAt.SCHEDULED: "waits for its time",
    WaitsAt.REFERENCE: "waits for the message that it refers to",
    WaitsAt.CHAT_HELD: "waits as Telegram asked",
    WaitsAt.CHAT_WINDOW: "waits for the chat's limit",
    WaitsAt.USER_WINDOW: "waits for the user's limit",
}

OF_BOT = {
    WaitsAt.BOT_PAUSED: "as the bot is paused",
    WaitsAt.BOT_HELD: "as Telegram asked the bot to",
    WaitsAt.BOT_FAILING: "as the bot's calls fail, and one is tried now and then",
    WaitsAt.BOT_WINDOW: "for the bot's limit",
    WaitsAt.SPACING: "for the bot's limit",
    WaitsAt.CEILING: "for the limit of all bots",
    WaitsAt.TURN: "for their turn",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits, and since when it is known to."""

    message: Outgoing
    since_ms: int

    @property
    def bot_chat(self) -> BotChat:
        return self.message.bot_id, self.message.chat_id or ""


class Waits:
    """Follows messages from their queueing to their end."""

    def __init__(
        self,
        *,
        broker: Broker,
        names: Names,
        put: Callable[[Line], None],
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._broker = broker
        self._names = names
        self._put = put
        self._clock = clock
        self._sleep = sleep
        self._waiting: dict[str, Waiting] = {}
        self._said: set[BotChat] = set()
        self._asked_ms: dict[BotChat, int] = {}  # chats that were explained, and of which there was nothing to say
        self._bots_said_ms: dict[int, int] = {}
        self._not_before_ms = 0

    def note(self, messages: Sequence[Outgoing]) -> None:
        """Follow messages from now on, as far as there is room."""
        now_ms = self._clock()
        for message in messages[: max(0, WAITING_MAX - len(self._waiting))]:
            self._waiting[message.id] = Waiting(message, now_ms)

    def forget(self, message_id: str) -> None:
        """Follow a message no more."""
        self._waiting.pop(message_id, None)

    async def run(self) -> None:
        """Look regularly, until cancelled."""
        expected = (BrokerUnavailable,)  # a condition of its own says so
        await every(LOOK_EVERY_S, self.look, failed="waits_not_shown", expected=expected, sleep=self._sleep)

    async def look(self) -> None:
        """Say what is new.

        Raises:
            BrokerUnavailable: Nothing can be known of what waits.
        """
        await self._forget_ended()
        self._make_room()
        for waiting, others in self._to_explain():
            if self._clock() < self._not_before_ms:
                return
            await self._explain(waiting, others)

    async def _forget_ended(self) -> None:
        """Forget the oldest that wait no more: another process may have sent them, or ended them."""
        oldest = list(self._waiting)[:BATCH_MAX]
        if oldest:
            known = await self._broker.knows(oldest)
            for message_id, is_known in zip(oldest, known, strict=True):
                if not is_known:
                    self.forget(message_id)
        waiting = {each.bot_chat for each in self._waiting.values()}
        self._said &= waiting
        self._asked_ms = {each: asked_ms for each, asked_ms in self._asked_ms.items() if each in waiting}

    def _make_room(self) -> None:
        """Forget messages for later whose line was shown, rather than follow no others until their time."""
        if len(self._waiting) >= WAITING_MAX:
            now_ms = self._clock()
            for message_id, each in list(self._waiting.items()):
                if each.message.ready_at_ms > now_ms and each.bot_chat in self._said:
                    self.forget(message_id)

    def _to_explain(self) -> list[tuple[Waiting, int]]:
        """Return the first message of each chat of which nothing was said, and how many more wait there."""
        until_ms, first = self._clock() - SHOWN_AFTER_MS, dict[BotChat, Waiting]()
        counts = Counter(each.bot_chat for each in self._waiting.values())
        for each in self._waiting.values():
            if each.since_ms <= until_ms and each.bot_chat not in self._said and not self._is_bot_said(each):
                first.setdefault(each.bot_chat, each)
        in_turn = sorted(first.values(), key=lambda each: self._asked_ms.get(each.bot_chat, 0))
        return [(each, counts[each.bot_chat] - 1) for each in in_turn[:CHATS_A_LOOK]]

    def _is_bot_said(self, waiting: Waiting) -> bool:
        said_ms = self._bots_said_ms.get(waiting.message.bot_id)
        return said_ms is not None and self._clock() < said_ms + BOT_AGAIN_MS

    async def _explain(self, waiting: Waiting, others: int) -> None:
        if self._is_bot_said(waiting):
            return
        asked_ms = self._asked_ms[waiting.bot_chat] = self._clock()
        explanation = await self._broker.explain(waiting.message.id)
        now_ms = self._clock()
        if now_ms - asked_ms >= SLOW_MS:
            self._not_before_ms = now_ms + PAUSE_TIMES * (now_ms - asked_ms)
        if explanation is None or not _is_long(explanation, now_ms):
            return
        if explanation.waits_at in OF_CHAT:
            self._said.add(waiting.bot_chat)
            why = (
                OF_CHAT[explanation.waits_at]
                + _how_long(explanation, now_ms)
                + (f", with {others} more" * bool(others))
            )
            self._put(Line(Kind.WAITS, partial(waits, waiting.message, self._names, why)))
        elif explanation.waits_at in OF_BOT:
            self._say_of_bot(waiting.message.bot_id, explanation, now_ms)

    def _say_of_bot(self, bot_id: int, explanation: Explanation, now_ms: int) -> None:
        self._bots_said_ms[bot_id] = now_ms
        count = sum(each.message.bot_id == bot_id for each in self._waiting.values())
        many = f"{WAITING_MAX:,} messages or more wait" if len(self._waiting) >= WAITING_MAX else _many(count)
        self._put(Line(Kind.WAITS, partial(bot_waits, bot_id, self._names, f"{many} {OF_BOT[explanation.waits_at]}")))


def _is_long(explanation: Explanation, now_ms: int) -> bool:
    """Tell whether a wait is worth a line; of a whole bot it is, too, while others go before."""
    if explanation.waits_at in OF_BOT and explanation.before_in_line > 0:
        return True
    return explanation.earliest_at_ms is None or explanation.earliest_at_ms - now_ms >= LEFT_MS_MIN


def _how_long(explanation: Explanation, now_ms: int) -> str:
    if explanation.earliest_at_ms is None or explanation.earliest_at_ms <= now_ms:
        return ""
    about = "at least" if explanation.before_in_lane else "about"
    return f", {about} {in_words(explanation.earliest_at_ms - now_ms)}"


def _many(count: int) -> str:
    return "1 message waits" if count == 1 else f"{count:,} messages wait"
