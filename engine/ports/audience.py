"""The chats of a bot, asked in sets; and the fence that lets a campaign write to each once on a local date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tempogram.engine.model.selection import Preview, Recipient, Rules, Selection

PAGE = 1_000

CAMPAIGN = "campaign:"
"""How the ``dedup_key`` of a campaign's message begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A campaign's right to write to a chat on a local date. There is at most one of the three.

    Attributes:
        message_id: Of the message that was submitted; '': it was refused for good. None: none was yet, and whatever
            finds this submits it, with ``dedup_key``, which makes doing so again harmless.
        first_key: The ``dedup_key`` that it had first, if its chat has another id or it another date by now: its
            message may have been submitted with it.
    """

    campaign: str
    bot_id: int
    recipient: Recipient
    message_id: str | None = None
    first_key: str | None = None

    @property
    def dedup_key(self) -> str:
        return self.first_key or f"{CAMPAIGN}{self.campaign}:{self.recipient.chat_id}:{self.recipient.local_date}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOver:
    """A claim for which nothing was submitted.

    Attributes:
        recipient: The chat as it would be written to now: in quiet hours, when they end. If that is on another date,
            the claim must be postponed to it.
    """

    claim: Claim
    recipient: Recipient

    @property
    def is_of_another_date(self) -> bool:
        return self.recipient.local_date != self.claim.recipient.local_date


class Audience(Protocol):
    """Each method raises ``LedgerError`` if the database refuses. No answer is capped."""

    async def preview(self, selection: Selection, rules: Rules, *, now_ms: int) -> Preview:
        """Count who is selected now, and who is left out and why."""

    async def page(
        self, selection: Selection, rules: Rules, *, now_ms: int, after: str = "", limit: int = PAGE
    ) -> list[Recipient]:
        """Return who is selected, in the order of their ids as texts; ``after`` is the last of the page before.

        Only a page without any is the last one.
        """

    async def claim(self, recipients: Sequence[Recipient], rules: Rules, *, bot_id: int, now_ms: int) -> list[Claim]:
        """Claim chats, and return those that were to be had.

        No other has them, the daily cap allows it, they have not opted out since, and their local date has not ended.
        """

    async def note_submitted(self, claims: Sequence[Claim]) -> None:
        """Store that these were submitted; each has its ``message_id``."""

    async def unsubmitted(
        self, selection: Selection, rules: Rules, *, now_ms: int, after: str = "", limit: int = PAGE
    ) -> list[LeftOver]:
        """Return claims for which nothing was submitted, by chat as ``page``: a process died, or the queue was full.

        Without those whose local date has ended, and those of chats that have opted out or cannot be reached. Of
        chats that were selected because they had not written, also without those that have since.
        """

    async def postpone(self, left_over: Sequence[LeftOver], rules: Rules, *, now_ms: int) -> list[Claim]:
        """Claim chats for the date of ``recipient`` instead; return those that were to be had, as ``claim`` does."""
