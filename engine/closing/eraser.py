"""Erases what is known of a chat: no one writes to it from then on, what waits is cancelled, what has ended deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import structlog

from tempogram.engine.closing.closer import Closer, End
from tempogram.engine.closing.erasures import Erased, Erasures
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.model.messages import ChatId, Status
from tempogram.engine.ports import Clock, Fault, Ledger

log = structlog.get_logger()

PAGE = 500

SECOND_PASS_AFTER_MS = 60_000
"""After which time an erasure is finished: what another process accepted just before it knew has ended by then, and
what Telegram was asked just before. untuned: a lease is shorter."""

PENDING_MAX = 1_000
"""Erasures that one run goes on with; the next run has the others."""

CHAT_ERASED = End(Status.CANCELLED, Fault(code=None, reason="the data of its chat was erased"))


class ChatEraser:
    """Erases chats. A call that was cut off is made again, or gone on with by ``finish_pending``."""

    def __init__(
        self, erasures: Erasures, *, reachability: Reachability, closer: Closer, ledger: Ledger, clock: Clock
    ) -> None:
        self._erasures = erasures
        self._reachability = reachability
        self._closer = closer
        self._ledger = ledger
        self._clock = clock

    async def erase(self, bot_id: int, chat_id: ChatId) -> Erased:
        """Erase a chat of a bot. What is left is erased by ``finish_pending`` once it has ended.

        Raises:
            LedgerError: It is not finished; call it again.
            BrokerUnavailable: Likewise.
        """
        names = await self._erasures.names(bot_id, chat_id)
        for name in names:
            await self._erasures.begin(bot_id, name, now_ms=self._clock())
            self._reachability.note_erased(bot_id, name)
        erased = await self._erase(bot_id, names[0])
        log.info("chat_erased", bot_id=bot_id, rows=sum(erased.rows.values()), left=erased.left)
        return erased

    async def finish_pending(self) -> dict[str, int]:
        """Go on with every erasure that is not finished, and return how many were finished, and how many were not.

        Raises:
            LedgerError: Some are left; the next call gets them.
            BrokerUnavailable: Likewise.
        """
        done = {"finished": 0, "left": 0}
        for bot_id, chat_id, begun_ms in await self._erasures.pending(limit=PENDING_MAX):
            erased = await self._erase(bot_id, chat_id)
            if erased.left or self._clock() - begun_ms < SECOND_PASS_AFTER_MS:
                done["left"] += 1
                continue
            await self._erasures.finish(bot_id, chat_id)
            done["finished"] += 1
        return done

    async def lift(self, bot_id: int, chat_id: ChatId) -> bool:
        """Let a chat be written to again; False: it was not erased. Raises ``LedgerError``."""
        is_lifted = await self._erasures.lift(bot_id, chat_id)
        self._reachability.note_lifted(bot_id, chat_id)
        return is_lifted

    async def erased_at_ms(self, bot_id: int, chat_id: ChatId) -> int | None:
        """Return when a chat was erased; None: it was not, or is written to again."""
        return await self._erasures.erased_at_ms(bot_id, chat_id)

    async def _erase(self, bot_id: int, chat_id: ChatId) -> Erased:
        await self._closer.withdraw(self._waiting(bot_id, chat_id), CHAT_ERASED)
        return await self._erasures.erase(bot_id, chat_id, now_ms=self._clock())

    async def _waiting(self, bot_id: int, chat_id: ChatId) -> AsyncIterator[list[str]]:
        after_id = ""
        while page := await self._ledger.open_of_chat(bot_id, chat_id, after_id=after_id, limit=PAGE):
            after_id = page[-1].id
            yield [message.id for message in page]
