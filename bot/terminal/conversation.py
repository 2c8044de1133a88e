"""The conversation on a terminal: who writes to a bot, what it answers, and what becomes of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from aiogram.types import Chat, Update
from aiogram.types.update import UpdateTypeLookupError
from rich.text import Text

from tempogram.bot.terminal.flow import Kind
from tempogram.bot.terminal.lines import EVENTS, failed, received, sent
from tempogram.bot.terminal.names import NamedBots, Names
from tempogram.bot.terminal.screen import Line, Screen
from tempogram.bot.terminal.waits import Waits
from tempogram.engine.model.messages import Lease, Outgoing
from tempogram.engine.model.outcomes import Outcome, Sent
from tempogram.engine.ports import Broker, Clock

NEEDLESS = frozenset({"started"})
"""Log events that say what the start's own lines say."""


class Conversation:
    """Puts updates, calls and some log events on the screen. Each method returns at once; see ``Watcher``."""

    def __init__(self, screen: Screen, *, clock: Clock) -> None:
        self._screen = screen
        self._clock = clock
        self._names = Names()
        self._waits: Waits | None = None
        self._received = 0
        self._sent = 0
        self._pinned: tuple[str, Callable[[], int], Sequence[str]] | None = None
        screen.footer = self._footer

    def follow(self, bots: NamedBots, broker: Broker) -> Waits:
        """Know the bots by their names, and say what messages wait for; return what must run for that."""
        self._names.bots = bots
        self._waits = Waits(broker=broker, names=self._names, put=self._screen.put, clock=self._clock)
        return self._waits

    def pin(self, address: str, bots: Callable[[], int], more: Sequence[str] = ()) -> None:
        """Keep the address, the number of bots and more lines in sight from now on."""
        self._pinned = address, bots, more

    def say(self, sentence: str) -> None:
        """Show a sentence of the program's own."""
        self._screen.put(Line(Kind.PRINTED, lambda _: sentence))

    def received(self, update: Update, bot_id: int) -> None:
        """Show an update whose handler begins."""
        self._received += 1
        if (chat := _chat_of(update)) is not None:
            self._names.learn(chat)
        self._screen.put(Line(Kind.RECEIVED, partial(received, update, bot_id, self._names)))

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
        name = event["event"]
        if name in EVENTS:
            self._screen.put(Line(Kind.FAILED, partial(failed, event, self._names)))
        return name in EVENTS or name in NEEDLESS

    def _footer(self, _width: int) -> list[Text]:
        if self._pinned is None:
            return []
        address, bots, more = self._pinned
        counts = f" · {self._received:,} in, {self._sent:,} out · {bots()} bots · Ctrl-C ends it"
        first = Text.assemble(("Tempogram ", "bold"), (address, "bold green"), (counts, "dim"))
        return [first, *(Text(line, "dim") for line in more)]


def _chat_of(update: Update) -> Chat | None:
    try:
        event: Any = update.event
    except UpdateTypeLookupError:
        return None
    chat = getattr(event, "chat", None)
    return chat if isinstance(chat, Chat) else None
