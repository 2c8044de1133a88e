"""Stores the files of messages and broadcasts: each once, until the last one that has it no longer needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import attachments, file_ids, upload_parts, uploads
from tempogram.storage.files import writes
from tempogram.storage.files.spool import Spooled
from tempogram.storage.files.writes import Attachment, MessageFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of a message, as it can be sent now.

    Attributes:
        file_id: Telegram's id of it; None: it is not known, or cannot be used again.
        is_here: Its bytes are stored.
    """

    name: str
    kind: str | None
    file_name: str
    sha256: str
    size_bytes: int
    file_id: str | None
    is_here: bool


class Uploads:
    """The repository of files.

    A caller names the message first, then stores the bytes, then submits the message: so no message is ever
    without them. What a crash leaves in between is deleted at the first start an hour later.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def keep(
        self,
        message_id: str,
        bot_id: int,
        attachments: Sequence[Attachment],
        files: Mapping[str, Spooled],
        *,
        needs_bytes: bool = False,
    ) -> None:
        """Store the files of a message before it is submitted.

        Args:
            message_id: Of the message; if it is never submitted, see ``forget``.
            bot_id: Of the message.
            attachments: Its files.
            files: The bytes, by their sha256.
            needs_bytes: See ``MessageFiles``.

        Raises:
            LedgerError: Something may be stored; ``forget`` or a later start deletes it.
        """
        message_files = MessageFiles(message_id, bot_id, attachments, needs_bytes)
        (missing,) = await self._database.write(writes.attach, [message_files])
        for sha256 in sorted(missing):
            await self._store(files[sha256])

    async def forget(self, message_id: str) -> None:
        """Delete the files of a message that was not accepted; if the ledger has it after all, they stay."""
        await self._database.write(writes.forget, [message_id])

    async def purge_orphans(self, *, now_ms: int) -> int:
        """Delete what a crash left behind an hour ago or earlier, and return how many files."""
        return await self._database.write_alone(partial(writes.purge_orphans, now_ms=now_ms))

    async def of_message(self, message_id: str, bot_id: int) -> list[StoredFile]:
        """Return the files of a message, in the order of their names."""
        async with self._database.reading() as connection:
            return await files_of(connection, message_id, bot_id)

    async def are_known(self, message_id: str, bot_id: int) -> bool | None:
        """Tell whether Telegram has every file, so that none of those which can be sent again need be uploaded.

        Returns:
            None: No file of it is stored.
        """
        is_known = file_ids.c.bot_id == bot_id, file_ids.c.sha256 == attachments.c.sha256
        is_known_as_kind = exists().where(*is_known, file_ids.c.kind == attachments.c.kind)
        has_it = or_(attachments.c.kind.is_(None), is_known_as_kind)
        async with self._database.reading() as connection:
            stored = await connection.execute(select(has_it).where(attachments.c.message_id == message_id))
            known = stored.scalars().all()
        return all(known) if known else None

    async def parts(self, sha256: str) -> AsyncIterator[bytes]:
        """Read a file row by row; no connection is held between two rows, however slowly they are sent."""
        number = 0
        while (part := await self._part(sha256, number)) is not None:
            yield part
            number += 1

    async def remember_file_id(self, bot_id: int, sha256: str, kind: str, file_id: str) -> None:
        """Store the ``file_id`` of a file, so that its bytes need not be sent again while any message has it."""
        await self._database.write(writes.remember_file_id, [(bot_id, sha256, kind, file_id)])

    async def forget_file_id(self, bot_id: int, file_id: str) -> None:
        """Delete a ``file_id`` that Telegram no longer knows."""
        await self._database.write(writes.forget_file_id, [(bot_id, file_id)])

    async def _store(self, file: Spooled) -> None:
        # One at a time: of a thousand messages with the same new file only the first stores it.
        lock = self._locks.setdefault(file.sha256, asyncio.Lock())
        async with lock:
            if await self._is_here(file.sha256):
                return
            for number, part in enumerate(file.parts()):
                await self._database.write(writes.put_parts, [(file.sha256, number, part)])
            await self._database.write(writes.complete, [(file.sha256, file.size_bytes)])

    async def _is_here(self, sha256: str) -> bool:
        async with self._database.reading() as connection:
            found = await connection.execute(select(uploads.c.sha256).where(uploads.c.sha256 == sha256))
            return found.first() is not None

    async def _part(self, sha256: str, number: int) -> bytes | None:
        is_meant = upload_parts.c.sha256 == sha256, upload_parts.c.number == number
        async with self._database.reading() as connection:
            part: bytes | None = (await connection.execute(select(upload_parts.c.content).where(*is_meant))).scalar()
            return part


async def files_of(connection: AsyncConnection, message_id: str, bot_id: int) -> list[StoredFile]:
    """Return the files of a message, in the order of their names."""
    is_known = and_(
        file_ids.c.bot_id == bot_id,
        file_ids.c.sha256 == attachments.c.sha256,
        file_ids.c.kind == attachments.c.kind,
    )
    found = (
        select(attachments, file_ids.c.file_id, uploads.c.sha256.is_not(None).label("is_here"))
        .outerjoin(file_ids, is_known)
        .outerjoin(uploads, uploads.c.sha256 == attachments.c.sha256)
        .where(attachments.c.message_id == message_id)
        .order_by(attachments.c.name)
    )
    return [
        StoredFile(
            name=row.name,
            kind=row.kind,
            file_name=row.file_name,
            sha256=row.sha256,
            size_bytes=row.size_bytes,
            file_id=row.file_id,
            is_here=bool(row.is_here),
        )
        for row in await connection.execute(found)
    ]
