"""What the HTTP side needs of the bot side; ``bot/`` implements it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

from tempogram.engine.model.broadcasts import Plan
from tempogram.engine.model.errors import EngineError
from tempogram.engine.model.messages import ChatId, Guarantee, Outgoing, Priority
from tempogram.engine.model.selection import Preview, Recipient
from tempogram.engine.ports import Progress, Result
from tempogram.engine.ports.results import OnProgress
from tempogram.storage.bots import RegisteredBot, Source
from tempogram.storage.files.spool import Spooled


class Refusal(EngineError):
    """A request cannot be carried out; the text says why, and what to do instead.

    Args:
        sentence: For the caller; it may quote what it sent.
        loggable: The same without the quotation; None: it quotes nothing that a user wrote.
    """

    def __init__(self, sentence: str, *, loggable: str | None = None) -> None:
        super().__init__(sentence)
        self._loggable = loggable

    @property
    def loggable(self) -> str:
        return str(self) if self._loggable is None else self._loggable


class NoWebhook(EngineError):
    """The bot does not get its updates by a webhook."""


class UnknownToken(EngineError):
    """Telegram does not know this token."""


class TelegramUnreachable(EngineError):
    """Telegram gave no usable answer; the request may be repeated later."""


class IntakeFull(EngineError):
    """Too many updates wait for their handlers; Telegram must deliver this one again."""


class Crowded(EngineError):
    """Too much of one kind is under way, for this bot or for all; the request may be repeated after a while."""

    def __init__(self, what: str, *, retry_after_s: int = 1) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s


class Intake(Protocol):
    """Takes updates in."""

    async def receive(self, bot_id: int, body: bytes) -> None:
        """Store an update and queue it for its handlers. A repeated ``update_id`` is stored once.

        One that no parser takes is skipped with a line in the log: Telegram would deliver it again and again.

        Raises:
            Refusal: The body is not an update; nothing was stored.
            IntakeFull: Nothing was stored.
            LedgerError: It may not be stored; it must be delivered again.
        """


class Attachments(Protocol):
    """Stores the files of messages."""

    async def keep(self, message: Outgoing, files: Mapping[str, Spooled]) -> None:
        """Store the files of a message before it is submitted.

        Raises:
            LedgerError: The message must not be submitted.
        """

    async def forget(self, message: Outgoing) -> None:
        """Delete the files of a message that was not accepted; if the ledger has it after all, they stay."""


class BroadcastMedia(Protocol):
    """Stores the files of broadcasts."""

    async def keep(self, plan: Plan, files: Mapping[str, Spooled]) -> Plan:
        """Store the files of a broadcast before it is made, and return its plan, whose content names them.

        Raises:
            Refusal: A file is missing, or cannot be sent again by its ``file_id``. Nothing was stored.
            LedgerError: The broadcast must not be made.
        """

    async def forget(self, plan: Plan) -> None:
        """Delete the files of a broadcast that was not made."""


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """A message that a campaign would send; its text is None if it is not known before."""

    recipient: Recipient
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a campaign would do at a time, and a page of its messages."""

    at_ms: int
    preview: Preview
    messages: Sequence[PlannedMessage]


class DryRuns(Protocol):
    """Says what re-engagement would do."""

    async def of(self, bot: RegisteredBot, *, at_ms: int | None, after: str, limit: int) -> DryRun:
        """Return who would get what, from the chat after ``after`` on.

        Args:
            bot: Whose users are meant.
            at_ms: Only those whose hour it is then; None: all whose turn it is today, whatever the hour.
            after: The last chat of the page before; '' is the first page.
            limit: How many messages.

        Raises:
            Refusal: The bot does not have the behaviour.
            LedgerError: The database cannot be read.
        """


class Composer(Protocol):
    """Makes messages of Bot API methods."""

    def compose(
        self,
        bot_id: int,
        chat_id: ChatId | None,
        method: str,
        params: Mapping[str, Any],
        *,
        files: Collection[str] = (),
        priority: Priority = Priority.NORMAL,
        guarantee: Guarantee = Guarantee.AT_LEAST_ONCE,
        ready_at_ms: int = 0,
        expires_at_ms: int | None = None,
        dedup_key: str | None = None,
        user_id: int | None = None,
        tag: str | None = None,
    ) -> Outgoing:
        """Make a message from what a client wrote.

        Args:
            bot_id: The bot that sends it.
            chat_id: As the client gave it.
            method: As Telegram spells it, in any case.
            params: The method's other parameters.
            files: Names of its files: of a parameter, or what ``attach://`` refers to.
            priority: See ``Outgoing``, as for all that follow.
            guarantee: Whether an uncertain attempt is made again.
            ready_at_ms: Not before this time; 0 is at once.
            expires_at_ms: Not at or after this time; None is never.
            dedup_key: The same key of the same bot is accepted once.
            user_id: Who triggered it; None: no user did.
            tag: Its label; None: it has none.

        Raises:
            Refusal: Telegram has no such method, it is not sent through the queue, or its parameters are wrong.
        """


class Fleet(Protocol):
    """The bots that run here."""

    def authenticate(self, token: str) -> int | None:
        """Return the id of the bot with this token, compared in constant time; None: there is none."""

    def webhook_secrets(self, bot_id: int) -> Sequence[str]:
        """Return the secrets of which each webhook call must have one; empty: it was set without."""

    async def reread_secrets(self, bot_id: int) -> None:
        """Read a bot's webhook secrets again, at most once a second.

        Raises:
            LedgerError: They cannot be read.
        """

    def when_removed(self, listener: Callable[[int], None]) -> None:
        """Call a listener for each bot that is removed, here or by another process; maybe more than once."""

    def source_of(self, bot: RegisteredBot) -> Source:
        """Return where a bot's updates come from: its own setting, or else that of the process."""

    def text_params(self, bot_id: int) -> Mapping[str, Any]:
        """Return the parameters that a text of a bot has unless its request says otherwise."""

    async def add(
        self,
        token: str,
        behaviours: Mapping[str, Any] | None,
        *,
        updates: Source | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> int:
        """Ask Telegram for the bot of a token and run it from now on; return its id.

        Adding it again replaces its token and, if given, its behaviours, the source of its updates and its defaults.

        Raises:
            Refusal: The token is malformed, a behaviour is unknown, or webhooks need PUBLIC_URL.
            UnknownToken: Telegram refused the token.
            TelegramUnreachable: Telegram did not answer.
        """

    async def change(
        self,
        bot_id: int,
        *,
        behaviours: Mapping[str, Any] | None = None,
        updates: Source | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        """Change a bot's behaviours and defaults, from its next update and call on, and the source of its updates.

        Raises:
            Refusal: A behaviour is unknown, its settings are wrong, or webhooks need PUBLIC_URL.
        """

    async def remove(self, bot_id: int, *, keep_messages: bool) -> bool:
        """Delete a bot, its token and its secrets, and take no more updates for it; False if there is none.

        ``keep_messages`` is stored; ``Removals`` applies it.
        """

    async def rotate_secret(self, bot_id: int) -> bool:
        """Replace the secret of a bot's webhook; False if there is no such bot.

        The old one stays valid until no call can have it any more.

        Raises:
            NoWebhook: It has none.
        """


@dataclass(frozen=True, slots=True)
class RemovalProgress:
    """How far a removal is.

    Attributes:
        cancelled: Messages that were cancelled since this process began or resumed it.
        is_complete: No message waits any more. One that is being sent is finished; if it would be retried, it is
            cancelled later and not counted.
    """

    cancelled: int
    is_complete: bool


class Removals(Protocol):
    """Completes the removal of bots."""

    async def complete(self, bot_id: int, *, keep_messages: bool) -> RemovalProgress:
        """Stop sending for a bot, and cancel or keep its waiting messages; return when that is done, or is too long."""

    async def progress(self, bot_id: int) -> RemovalProgress | None:
        """Continue a removal if it is not complete, and return as ``complete`` does; None if there is none."""


# The Bot API door


class Way(Enum):
    """Which way a call goes that came through the Bot API door."""

    QUEUE = auto()
    """Through the queue, as every message does."""
    ACTION = auto()
    """``sendChatAction``: to Telegram at once, or nowhere while its chat is held."""
    UPDATES = auto()
    """It says where a bot's updates go, or takes them: to Telegram, unless they come to us."""
    DIRECT = auto()
    """To Telegram at once, as it came."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An answer of the Bot API: its HTTP status, and its body in JSON."""

    status: int
    body: bytes


class DoorTokens(Protocol):
    """The bots that may use the Bot API door: all whose token Telegram knows."""

    async def bot_of(self, token: str) -> int:
        """Return the bot of a token. Telegram is asked about a new one, once, and it sends from here from then on.

        Raises:
            NotFound: It is no token.
            UnknownToken: Telegram does not know it.
            Refusal: The bot was removed here.
            Crowded: Too many new tokens came lately.
            TelegramUnreachable: Telegram did not answer.
            LedgerError: It could not be stored.
        """


class DoorCalls(Protocol):
    """What becomes of calls, as the Bot API puts it."""

    def way(self, method: str) -> Way:
        """Return the way of a method, spelled in any case. A method that is not known goes directly."""

    def answer(self, message: Outgoing, result: Result) -> ApiAnswer:
        """Return Telegram's answer to a message that has ended, or one in its words where there is none."""


class CallEndings(Protocol):
    """Tells callers how their messages end."""

    def expect(
        self, message_id: str, on_progress: OnProgress | None = None
    ) -> AbstractContextManager[asyncio.Future[Result]]:
        """Give a future of a message's result. Ask before the message is submitted; else look it up, too."""

    async def look_up(self, message_id: str) -> Result | None:
        """Return the result of a message that has ended; None if it is open, or not known."""


class PlaceWait(Protocol):
    """How long one caller waits for the places of its message; while its call is under way, no time passes."""

    def note(self, progress: Progress) -> None:
        """Count the time from here on as that of a call, or as waiting."""

    async def until(self, future: asyncio.Future[Result]) -> Result:
        """Return what a future is filled with; raises ``TimeoutError`` once it has waited for too long."""


class BotPlaces(Protocol):
    """A number of places, shared out by bot."""

    def may_take(self, bot_id: int) -> bool:
        """Tell whether a bot may take a place."""

    def take(self, bot_id: int) -> None:
        """Take one."""

    def give_back(self, bot_id: int) -> None:
        """Give one back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedCall:
    """A request that goes to Telegram as it came.

    Attributes:
        path: Below the address of the Bot API; it bears the token.
        query: As the client wrote it.
        headers: Those that Telegram is to see.
        body: As it arrives; None: it has none.
    """

    bot_id: int
    http_method: str
    path: str = field(repr=False)
    query: str
    headers: Mapping[str, str]
    body: AsyncIterator[bytes] | None


@dataclass(frozen=True, slots=True)
class PassedAnswer:
    """What Telegram answers to it; ``chunks`` is its body as it arrives."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    chunks: AsyncIterator[bytes]


class PassThrough(Protocol):
    """Passes requests on to Telegram, over connections of its own."""

    def open(self, call: PassedCall) -> AbstractAsyncContextManager[PassedAnswer]:
        """Make a call; its answer can be read until the block ends, and the call ends with the block at the latest.

        Raises:
            Crowded: Its bot, or all together, have too many such calls under way.
            TelegramUnreachable: There was no answer.
        """

    async def show_action(self, bot_id: int, token: str, params: Mapping[str, Any]) -> ApiAnswer:
        """Show that a bot is at work; nothing is called while its chat or the bot is held. Raises as ``open``."""
