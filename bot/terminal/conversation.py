"""The conversation on a terminal: who writes to a bot, what it answers, and what becomes of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from aiogram.types import Message, Update
from aiogram.types.update import UpdateTypeLookupError
from rich.text import Text

from tempogram.bot.terminal.flow import Kind
from tempogram.bot.terminal.lines import failed, is_failure, received, sent
from tempogram.bot.terminal.names import NamedBots, Names
from tempogram.bot.terminal.screen import Line, Screen
from tempogram.bot.terminal.waits import Waits
from tempogram.engine.model.messages import ChatId, Lease, Outgoing
from tempogram.engine.model.outcomes import Outcome, Sent
from tempogram.engine.ports import Broker, Clock


class Hearing:
    """One message, and which bots got it: in a group all of them do. Counted until its line is drawn.

    Attributes:
        key: Its chat, its id, and when it was edited; None in a private chat.
    """

    def __init__(self, update: Update, bot_id: int, key: tuple[int, int, int] | None) -> None:
        self.key = key
        self.bot_ids = {bot_id}
        self.is_drawn = False
        self._update = update
        self._bot_id = bot_id

    def draw(self, names: Names, width: int) -> Text:
        self.is_drawn = True
        return received(self._update, self._bot_id, len(self.bot_ids), names, width)


class Conversation:
    """Puts updates, calls and some log events on the screen. Each method returns at once; see ``Watcher``."""

    def __init__(self, screen: Screen, *, clock: Clock) -> None:
        self._screen = screen
        self._clock = clock
        self._names = Names()
        self._waits: Waits | None = None
        self._heard: Hearing | None = None
        self._received = 0
        self._sent = 0
        self._pinned: tuple[str, Callable[[], int], Sequence[str]] | None = None
        screen.footer = self._footer

    def name(self, bots: NamedBots, chats: Mapping[ChatId, str]) -> None:
        """Know the bots, and chats of earlier starts, by their names."""
        self._names.bots = bots
        self._names.learn_titles(chats)

    def follow(self, broker: Broker) -> Waits:
        """Say what messages wait for; return what must run for that."""
        self._waits = Waits(broker=broker, names=self._names, put=self._screen.put, clock=self._clock)
        return self._waits

    def pin(self, address: str, bots: Callable[[], int], more: Sequence[str] = ()) -> None:
        """Keep the address, the number of bots and more lines in sight from now on."""
        self._pinned = address, bots, more

    def say(self, sentence: str) -> None:
        """Show a sentence of the program's own."""
        self._screen.put(Line(Kind.OWN, lambda _: sentence))

    def received(self, update: Update, bot_id: int) -> None:
        """Show an update whose handler begins."""
        self._received += 1
        message = _message_of(update)
        if message is not None:
            self._names.learn(message.chat)
        key, heard = None if message is None else _key_of(message), self._heard
        if heard is not None and key is not None and heard.key == key and not heard.is_drawn:
            heard.bot_ids.add(bot_id)
            return
        self._heard = Hearing(update, bot_id, key)
        self._screen.put(Line(Kind.RECEIVED, partial(self._heard.draw, self._names)))

    def queued(self, messages: Sequence[Outgoing]) -> None:
        """See ``Watcher``."""
        if self._waits is not None:
            self._waits.note(messages)

    def answered(self, lease: Lease, outcome: Outcome, *, took_ms: int) -> None:
        """See ``Watcher``. What failed comes as a log event."""
        message = lease.message
        if self._waits is not None:
            self._waits.forget(message.id)
        if isinstance(outcome, Sent):
            self._sent += 1
            waited_ms = self._clock() - took_ms - max(message.submitted_at_ms, message.ready_at_ms)
            self._screen.put(Line(Kind.SENT, partial(sent, message, self._names, took_ms, waited_ms)))

    def shows(self, event: Mapping[str, Any]) -> bool:
        """Show a log event as a line of the conversation, if it is one; False: it needs a line of the log."""
        if is_failure(event):
            self._screen.put(Line(Kind.FAILED, partial(failed, event, self._names)))
            return True
        return is_needless(event)

    def _footer(self, _width: int) -> list[Text]:
        if self._pinned is None:
            return []
        address, count_bots, more = self._pinned
        bots = "1 bot" if (count := count_bots()) == 1 else f"{count:,} bots"
        counts = f" · {self._received:,} in, {self._sent:,} out · {bots} · Ctrl-C ends it"
        first = Text.assemble(("Tempogram ", "bold"), (address, "bold green"), (counts, "dim"))
        return [first, *(Text(line, "dim") for line in more)]


def is_needless(event: Mapping[str, Any]) -> bool:
    """Tell whether a log event says only what the start's own lines say, or that there is nothing to say."""
    match event:
        case {"event": "started", "resumed_updates": 0} | {"event": "queue_rebuilt", "messages": 0}:
            return True
        case _:
            return False


def _message_of(update: Update) -> Message | None:
    try:
        event = update.event
    except UpdateTypeLookupError:
        return None
    return event if isinstance(event, Message) else None


def _key_of(message: Message) -> tuple[int, int, int] | None:
    is_private = message.chat.type == "private"
    return None if is_private else (message.chat.id, message.message_id, message.edit_date or 0)
