"""What the HTTP side needs of Telegram's side, as promises that ``bot/`` keeps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from tempogram.engine.model.errors import EngineError
from tempogram.engine.model.messages import ChatId, Outgoing
from tempogram.storage.bots import RegisteredBot, Source
from tempogram.storage.files.spool import Spooled


class Refusal(EngineError):
    """What a client asked makes no sense; its sentence says why and names the way out."""


class NoWebhook(EngineError):
    """A bot gets its updates in another way, so its webhook has nothing to change."""


class UnknownToken(EngineError):
    """Telegram does not know this token."""


class TelegramUnreachable(EngineError):
    """Telegram gave no usable answer; asking again later may help."""


class IntakeFull(EngineError):
    """Too many updates wait for their handlers; Telegram shall deliver this one again."""


class Intake(Protocol):
    """Where updates enter."""

    async def receive(self, bot_id: int, body: bytes) -> None:
        """Store an update, and let its handlers run later. A repeated ``update_id`` is stored once.

        Raises:
            Refusal: The body is no update; nothing was stored.
            IntakeFull: Nothing was stored.
            LedgerError: It is not known to be stored; it must be delivered again.
        """


class Attachments(Protocol):
    """Keeps the files that messages carry."""

    async def keep(self, message: Outgoing, files: Mapping[str, Spooled]) -> None:
        """Keep the files that a message names, before it is submitted.

        Raises:
            LedgerError: The message must not be submitted.
        """

    async def forget(self, message: Outgoing) -> None:
        """Let go of the files of a message that was not accepted; if the ledger has it after all, they stay."""


class Composer(Protocol):
    """Knows Telegram's methods."""

    def compose(
        self,
        bot_id: int,
        chat_id: ChatId | None,
        method: str,
        params: Mapping[str, Any],
        *,
        files: Collection[str] = (),
        **options: Any,
    ) -> Outgoing:
        """Make a message from what a client wrote.

        Args:
            bot_id: One of our bots.
            chat_id: As the client gave it.
            method: As Telegram spells it, in any case.
            params: The method's other parameters.
            files: Names of the files that come with it: a parameter's, or what ``attach://`` names in one.
            **options: Any of ``priority``, ``ready_at_ms``, ``expires_at_ms``, ``guarantee``, ``dedup_key``.

        Raises:
            Refusal: No such method, one that is not sent through the queue, wrong parameters, or a file too many.
        """


class Fleet(Protocol):
    """The bots that run here."""

    def authenticate(self, token: str) -> int | None:
        """Return the id of the bot with exactly this token, compared in constant time; None for any other."""

    def webhook_secrets(self, bot_id: int) -> Sequence[str]:
        """Return the secrets of which each webhook call for this bot must bear one; none if it was set without."""

    def when_removed(self, listener: Callable[[int], None]) -> None:
        """Tell one more listener about each bot that was removed, here or by another process; some more than once."""

    def source_of(self, bot: RegisteredBot) -> Source:
        """Return where a bot's updates come from: as it was wanted, or else as the settings have it."""

    async def add(self, token: str, behaviours: Mapping[str, Any] | None, *, updates: Source | None = None) -> int:
        """Ask Telegram who this is, and run it from now on; return its id.

        Adding it again replaces its token and, if given, its behaviours and where its updates come from.

        Raises:
            Refusal: This is no token, a behaviour is unknown, or there can be no webhook here.
            UnknownToken: Telegram refused the token.
            TelegramUnreachable: Nobody could be asked.
        """

    async def change(
        self, bot_id: int, *, behaviours: Mapping[str, Any] | None = None, updates: Source | None = None
    ) -> None:
        """Change what a bot does, from the next update on, and where its updates come from, at once.

        Raises:
            Refusal: A behaviour is unknown or its settings are wrong, or there can be no webhook here.
        """

    async def remove(self, bot_id: int, *, keep_messages: bool) -> bool:
        """Forget a bot, its token and its secrets, and take no update for it from now on; False if there is none.

        ``keep_messages`` is put down in the books; heeding it is for ``Removals``.
        """

    async def rotate_secret(self, bot_id: int) -> bool:
        """Give a bot's webhook another secret; False if there is no such bot.

        The old one is taken too until nothing can come with it any more.

        Raises:
            NoWebhook: It has none.
        """


class Removals(Protocol):
    """Sees off the bots that were removed."""

    async def complete(self, bot_id: int, *, keep_messages: bool) -> int:
        """Send nothing for a bot any more, and cancel what waits, or keep it; return how many were cancelled.

        A call that is under way ends, and what comes back of it is cancelled later, uncounted.
        """
