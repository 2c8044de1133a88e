"""Sends a message: one HTTP call to Telegram, whose answer is returned as a value."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from msgspec import structs

from tempogram.bot.proxy.errors import ProxyFailed
from tempogram.bot.telegram.albums import album_outcome
from tempogram.bot.telegram.call_body import Form, body_of, carries
from tempogram.bot.telegram.connections import Connections, Response
from tempogram.bot.telegram.references import referred
from tempogram.bot.telegram.refusals import TWO_CHAT_METHODS, after_move, with_doubt
from tempogram.bot.telegram.responses import classify, header_wait_s
from tempogram.bot.telegram.round_trips import RoundTrips
from tempogram.bot.telegram.upload_packing import UploadPacker
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import Lease, Outgoing
from tempogram.engine.model.outcomes import Answer, Failed, Outcome, Overdue, Rejected, Revoked, Uncertain
from tempogram.engine.ports import Clock, Handles, MayWrite

JSON = "application/json"

UPLOAD_BYTES_A_S_MIN = 512 << 10
"""Extra time for files: 4 Mbit/s, 50 MB in under two minutes. Untuned: it only has to be slower than real uploads."""


class GroupMoves(Protocol):
    """Knows which groups have become supergroups."""

    def may_have_moved(self, message: Outgoing) -> bool:
        """Tell whether it is worth asking ``has_moved`` of a message."""

    async def has_moved(self, message: Outgoing) -> bool:
        """Tell whether a message was submitted to a group that has another id by now; raises ``LedgerError``."""


class TelegramTransport:
    """See ``Transport``. One pool of connections for all bots.

    Telegram counts a call before it answers. Counting from the answer would waste a round trip of every window, so the
    way that every call has certainly taken is subtracted: the shortest recent round trip less a guard, see
    ``round_trips``.

    Args:
        guard_ms: The guard, if it is fixed; None: it follows what is measured.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        token_of: Callable[[int], str | None],
        reload_token: Callable[[int], Awaitable[str | None]],
        group_moves: GroupMoves,
        handles: Handles,
        timeout_ms: int,
        guard_ms: int | None,
        upload_packer: UploadPacker,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._token_of = token_of
        self._reload_token = reload_token
        self._group_moves = group_moves
        self._handles = handles
        self._timeout_s = timeout_ms / 1_000
        self._upload_packer = upload_packer
        self._clock = clock
        self._round_trips = RoundTrips(guard_s=None if guard_ms is None else guard_ms / 1_000)

    async def send(self, lease: Lease, may_write: MayWrite) -> Answer:
        """See ``Transport``."""
        message = lease.message
        try:
            token = self._token_of(message.bot_id) or await self._reload_token(message.bot_id)
        except LedgerError:
            return Answer(Failed("the bot's token cannot be read", is_ours=True), counted_at_ms=None)
        if token is None:
            return Answer(Revoked("the bot has no token here"), counted_at_ms=None)
        referring = await referred(message, self._handles)
        if not isinstance(referring, Outgoing):
            return Answer(referring, counted_at_ms=None)
        lease, message = structs.replace(lease, message=referring), referring
        if (moved := await self._after_move(message)) is not None:
            return Answer(moved, counted_at_ms=None)
        packed = await self._upload_packer.pack(message) if carries(message) else None
        if isinstance(packed, Rejected | Failed):
            return Answer(packed, counted_at_ms=None)
        outcome, written_s = await self._call(lease, may_write, token, packed.body if packed else body_of(message))
        if isinstance(outcome, Revoked):
            outcome = await self._revoked(message.bot_id, token, outcome)
        if written_s is None:
            return Answer(outcome, counted_at_ms=None)
        if packed is not None:
            # Its duration is no round trip: Telegram counts the call once it has the whole file.
            counted_at_ms = self._clock()
            return Answer(await self._upload_packer.unpack(packed, outcome), counted_at_ms)
        return Answer(outcome, self._counted_at_ms(outcome, written_s))

    async def _after_move(self, message: Outgoing) -> Outcome | None:
        """Return the outcome of a message that names a message of the group that its chat was; None if it may go."""
        outcome = after_move(message) if self._group_moves.may_have_moved(message) else None
        try:
            return outcome if outcome is not None and await self._group_moves.has_moved(message) else None
        except LedgerError:
            return Failed("whether its group has moved cannot be read", is_ours=True)

    async def _call(
        self, lease: Lease, may_write: MayWrite, token: str, body: bytes | Form
    ) -> tuple[Outcome, float | None]:
        """Make the call; return its outcome, and when its first byte was written (None if none was)."""
        path = f"/bot{token}/{lease.message.method}"
        timeout_s = self._timeout_s + (body.length / UPLOAD_BYTES_A_S_MIN if isinstance(body, Form) else 0)
        written_s: float | None = None
        try:
            async with asyncio.timeout(timeout_s), self._connections.borrow() as connection:
                # No await stands between this check of the lease and the first byte.
                if not may_write():
                    return Overdue(), None
                written_s = time.monotonic()
                if isinstance(body, Form):
                    response = await connection.post_form(path, body)
                else:
                    response = await connection.post(path, JSON, body)
            return self._meaning(lease, outcome_of(response)), written_s
        except ProxyFailed as error:
            return Failed(str(error)), None
        except (OSError, UnicodeError, LedgerError) as error:
            # TimeoutError is an OSError; UnicodeError: an invalid host name; LedgerError: a file could not be read.
            reason = type(error).__name__  # the text may hold the address, and that holds the token
            return (Failed(reason) if written_s is None else Uncertain(reason)), written_s

    async def _revoked(self, bot_id: int, token: str, outcome: Revoked) -> Outcome:
        """Return the outcome for a token that Telegram does not know: it may be an outdated one."""
        try:
            is_old = await self._reload_token(bot_id) != token
        except LedgerError:
            is_old = True  # unknown; a bot must not be paused by mistake
        return Failed("the bot got another token during this call", code=401) if is_old else outcome

    @staticmethod
    def _meaning(lease: Lease, outcome: Outcome) -> Outcome:
        """Return the outcome for this call's method.

        A 403 may be about the chat that a message is copied from, or about a right that an uncounted call needs; an
        album may have arrived in part; and what a call asks for may have been done before.
        """
        message = lease.message
        if isinstance(outcome, Rejected) and (not message.cost or message.method in TWO_CHAT_METHODS):
            outcome = replace(outcome, unreachable=False)
        return album_outcome(message, with_doubt(message, outcome))

    def _counted_at_ms(self, outcome: Outcome, written_s: float) -> int:
        now_ms = self._clock()
        if isinstance(outcome, Uncertain):
            return now_ms
        now_s = time.monotonic()
        return now_ms - int(self._round_trips.note(now_s - written_s, now_s) * 1_000)


def outcome_of(response: Response) -> Outcome:
    """Return the outcome of an answer, of whose headers only ``Retry-After`` says something."""
    if not response.retry_after:
        return classify(response.status, response.body)
    header_s = header_wait_s(response.retry_after.decode("latin-1"), response.date.decode("latin-1"))
    return classify(response.status, response.body, header_s=header_s)
