"""Deletes what the database has of a chat, and keeps the chat from being written to by a keyed digest of its id.

The key is random, and kept encrypted by ``SECRET_KEY``: a digest cannot be made anew when that changes, as the id is
not there any more. The id itself stays until a second pass has deleted what came in between.
"""

from __future__ import annotations

import hmac
import secrets
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, or_, select, tuple_, update

from tempogram.engine.model.batching import batches
from tempogram.engine.model.conversations import BUSINESS
from tempogram.engine.model.messages import BotChat, ChatId
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import (
    PRESUMED,
    attempts,
    broadcast_recipients,
    erased_chats,
    handles,
    identity,
    messages,
    payloads,
    referrals,
    updates,
)
from tempogram.storage.files import writes as file_writes
from tempogram.storage.keys import Seal
from tempogram.storage.ledger import chat_ids
from tempogram.storage.present_key import ERASURES, ROW
from tempogram.storage.privacy.export import ChatExport
from tempogram.storage.privacy.of_chats import BY_CHAT, names_of, rows_of

log = structlog.get_logger()

ROWS_MAX = 500
"""Deleted in one commit, so that other writes do not wait long."""

WINDOWS_MS = 3_600_000
"""Calls that are younger stay without their chat, as the windows of their bot are rebuilt from them."""

EMPTY = b"{}"
"""In place of an update that was handled: its number stays, so that it is not handled again."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was deleted, by table, and what is left: being sent, not handled yet, or in a broadcast that goes on."""

    rows: Mapping[str, int]
    left: int


@dataclass(slots=True)
class SqlErasures:
    """See ``engine.closing.erasures.Erasures``."""

    database: Database
    seal: Seal
    _key: bytes | None = field(default=None, repr=False)

    async def digests(self) -> set[bytes]:
        await self._read_key()
        async with self.database.reading() as connection:
            return set((await connection.execute(select(erased_chats.c.digest))).scalars())

    async def among(self, bot_chats: Collection[BotChat]) -> set[BotChat]:
        if self._key is None:
            await self._read_key()
        by_digest = {digest: each for each in bot_chats if (digest := self.digest(*each)) is not None}
        if not by_digest:
            return set()
        query = select(erased_chats.c.digest).where(erased_chats.c.digest.in_(list(by_digest)))
        async with self.database.reading() as connection:
            return {by_digest[digest] for digest in (await connection.execute(query)).scalars()}

    def digest(self, bot_id: int, chat_id: ChatId) -> bytes | None:
        return None if self._key is None else _digest(self._key, bot_id, chat_id)

    async def names(self, bot_id: int, chat_id: ChatId) -> list[ChatId]:
        names = await names_of(self.database, bot_id, chat_id)
        return [chat_ids.required(each) for each in names if not each.startswith(BUSINESS)]

    async def begin(self, bot_id: int, chat_id: ChatId, *, now_ms: int) -> None:
        self._key = await self.database.write_alone(self._own_key)
        row = {
            "digest": _digest(self._key, bot_id, chat_id),
            "bot_id": bot_id,
            "chat_id": str(chat_id),
            "erased_at_ms": now_ms,
        }
        again = {"bot_id": bot_id, "chat_id": str(chat_id)}

        def write(connection: Connection) -> None:
            insert = insert_by(erased_chats, connection).values(row)
            connection.execute(insert.on_conflict_do_update(index_elements=["digest"], set_=again))

        await self.database.write_alone(write)

    async def erase(self, bot_id: int, chat_id: ChatId, *, now_ms: int) -> Erased:
        names = await names_of(self.database, bot_id, chat_id)
        rows: Counter[str] = Counter()
        rows["messages"] = await self._erase_messages(bot_id, names, now_ms)
        rows["updates"], unhandled = await self._erase_updates(bot_id, names)
        has_outcome = broadcast_recipients.c.outcome.is_not(None)
        of_broadcasts = rows_of(broadcast_recipients, bot_id, names)
        rows["broadcast_recipients"] = await self._delete(broadcast_recipients, and_(of_broadcasts, has_outcome))
        for table in reversed(BY_CHAT):  # the chat's own row is the last: it has the other names
            rows[table.name] = await self._delete(table, rows_of(table, bot_id, names))
        return Erased(dict(+rows), unhandled + await self._left(bot_id, names))

    async def pending(self, *, limit: int) -> list[tuple[int, ChatId, int]]:
        query = (
            select(erased_chats.c.bot_id, erased_chats.c.chat_id, erased_chats.c.erased_at_ms)
            .where(erased_chats.c.chat_id.is_not(None))
            .order_by(erased_chats.c.erased_at_ms, erased_chats.c.digest)
            .limit(limit)
        )
        async with self.database.reading() as connection:
            return [(row[0], chat_ids.required(row[1]), row[2]) for row in await connection.execute(query)]

    async def finish(self, bot_id: int, chat_id: ChatId) -> None:
        is_meant = erased_chats.c.bot_id == bot_id, erased_chats.c.chat_id == str(chat_id)
        write = update(erased_chats).where(*is_meant).values(bot_id=None, chat_id=None)
        await self.database.write_alone(lambda connection: connection.execute(write))

    async def lift(self, bot_id: int, chat_id: ChatId) -> bool:
        await self._read_key()
        digest = self.digest(bot_id, chat_id)
        if digest is None:
            return False
        gone = delete(erased_chats).where(erased_chats.c.digest == digest)
        return await self.database.write_alone(lambda connection: connection.execute(gone).rowcount == 1)

    async def erased_at_ms(self, bot_id: int, chat_id: ChatId) -> int | None:
        await self._read_key()
        digest = self.digest(bot_id, chat_id)
        if digest is None:
            return None
        query = select(erased_chats.c.erased_at_ms).where(erased_chats.c.digest == digest)
        async with self.database.reading() as connection:
            return (await connection.execute(query)).scalar()

    async def _read_key(self) -> None:
        if self._key is not None:
            return
        async with self.database.reading() as connection:
            sealed = (await connection.execute(_SEALED_KEY)).scalar()
        if sealed is None:
            return
        text = self.seal.open(sealed, bot_id=ERASURES)
        if text is None:
            log.error("erased_chats_unknown", reason="their key is encrypted by another SECRET_KEY")
            return
        self._key = bytes.fromhex(text)

    def _own_key(self, connection: Connection) -> bytes:
        """Return the key of the digests; the first erasure makes it."""
        sealed = connection.execute(_SEALED_KEY.with_for_update()).scalar()
        text = None if sealed is None else self.seal.open(sealed, bot_id=ERASURES)
        if text is None:
            text = secrets.token_hex(32)
            sealed = self.seal.seal(text, bot_id=ERASURES)
            connection.execute(update(identity).where(identity.c.id == ROW).values(sealed_erasure_key=sealed))
        return bytes.fromhex(text)

    async def _erase_messages(self, bot_id: int, names: list[str], now_ms: int) -> int:
        of_chat = and_(rows_of(messages, bot_id, names), messages.c.settled_at_ms.is_not(None))
        page, erased = select(messages.c.id).where(of_chat).limit(ROWS_MAX), 0

        def work(connection: Connection) -> int:
            ids = list(connection.execute(page).scalars())
            gone = delete(messages).where(messages.c.id.in_(ids), of_chat).returning(messages.c.id)
            return _forget(connection, list(connection.execute(gone).scalars()), now_ms) if ids else 0

        while count := await self.database.write_alone(work):
            erased += count
        presumed = and_(attempts.c.message_id == PRESUMED, rows_of(attempts, bot_id, names))
        nameless = update(attempts).where(presumed).values(chat_id=None)
        await self.database.write_alone(lambda connection: connection.execute(nameless))
        return erased

    async def _erase_updates(self, bot_id: int, names: list[str]) -> tuple[int, int]:
        """Empty what was handled, and return how many these are, and how many are not handled yet."""
        ids, unhandled = list[int](), 0
        async for row in ChatExport(self.database).updates(bot_id, names):
            if row["handled_at_ms"] is None:
                unhandled += 1
            else:
                ids.append(row["update_id"])
        of_bot = updates.c.bot_id == bot_id, updates.c.handled_at_ms.is_not(None)
        for page in batches(ids, ROWS_MAX):
            emptied = update(updates).where(*of_bot, updates.c.update_id.in_(page)).values(body=EMPTY)
            await self.database.write_alone(lambda connection, emptied=emptied: connection.execute(emptied))  # type: ignore[misc]
        return len(ids), unhandled

    async def _delete(self, table: Table, is_meant: ColumnElement[bool]) -> int:
        key = list(table.primary_key.columns)
        gone = delete(table).where(tuple_(*key).in_(select(*key).where(is_meant).limit(ROWS_MAX)))
        erased = 0
        while count := await self.database.write_alone(lambda connection: connection.execute(gone).rowcount):
            erased += count
        return erased

    async def _left(self, bot_id: int, names: list[str]) -> int:
        waiting = rows_of(broadcast_recipients, bot_id, names)
        async with self.database.reading() as connection:
            count = 0
            for query in (
                select(func.count()).select_from(messages).where(rows_of(messages, bot_id, names)),
                select(func.count()).select_from(broadcast_recipients).where(waiting),
            ):
                count += (await connection.execute(query)).scalar_one()
        return count


_SEALED_KEY = select(identity.c.sealed_erasure_key).where(identity.c.id == ROW)


def _digest(key: bytes, bot_id: int, chat_id: ChatId) -> bytes:
    return hmac.new(key, f"{bot_id} {chat_id}".encode(), sha256).digest()


def _forget(connection: Connection, ids: list[str], now_ms: int) -> int:
    """Delete what goes with these messages; calls that windows are rebuilt from stay without message and chat."""
    of_these, counted_ms = attempts.c.message_id.in_(ids), attempts.c.counted_at_ms
    is_old = or_(counted_ms.is_(None), counted_ms < now_ms - WINDOWS_MS)
    connection.execute(delete(attempts).where(of_these, is_old))
    nameless: dict[Any, Any] = {"message_id": PRESUMED, "chat_id": None, "reason": None}
    connection.execute(update(attempts).where(of_these).values(nameless))
    connection.execute(delete(payloads).where(payloads.c.message_id.in_(ids)))
    connection.execute(delete(handles).where(handles.c.message_id.in_(ids)))
    connection.execute(delete(referrals).where(or_(referrals.c.message_id.in_(ids), referrals.c.target_id.in_(ids))))
    file_writes.forget(connection, ids)
    return len(ids)
