"""Stores the files of a message; ``call_body`` says where its parameters name them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import structlog
from aiogram import Bot
from aiogram.types import BufferedInputFile, FSInputFile, InputFile

from tempogram.bot.telegram.call_body import FileReference, carries, file_references
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import Outgoing
from tempogram.storage.files.spool import Spool, Spooled
from tempogram.storage.files.uploads import Uploads
from tempogram.storage.files.writes import Attachment

log = structlog.get_logger()


class Attachments:
    """See ``api.core.ports.Attachments``; takes aiogram's files too."""

    def __init__(self, uploads: Uploads, spool: Spool) -> None:
        self._uploads = uploads
        self._spool = spool

    @asynccontextmanager
    async def spooled(self, bot: Bot, files: Mapping[str, InputFile]) -> AsyncIterator[dict[str, Spooled]]:
        """Read files into the spool; they stay there until the block ends.

        Raises:
            FileTooLarge: One is larger than Telegram takes.
            OSError: One cannot be read.
        """
        async with AsyncExitStack() as stack:
            yield {
                name: stack.enter_context(
                    await self._spool.take(file.filename or name, file.read(bot), size_bytes=_size_bytes(file))
                )
                for name, file in files.items()
            }

    async def keep(self, message: Outgoing, files: Mapping[str, Spooled], *, for_many: bool = False) -> None:
        """See ``api.core.ports.Attachments``; ``for_many``: of a broadcast, which needs the bytes until it ends."""
        carried = {
            reference.name: _attachment(message, reference, files[reference.name])
            for reference in file_references(msgspec.json.decode(message.params))
            if reference.name in files
        }
        bytes_of = {file.sha256: file for file in files.values()}
        try:
            await self._uploads.keep(message.id, message.bot_id, list(carried.values()), bytes_of, needs_bytes=for_many)
        except BaseException:  # the caller was cancelled, or the database is unavailable
            await self.forget(message)
            raise

    async def forget(self, message: Outgoing) -> None:
        """See ``api.core.ports.Attachments``."""
        if carries(message):
            await self.forget_kept(message.id)

    async def forget_kept(self, message_id: str) -> None:
        """Delete files by the id under which they are kept, unless a message or a broadcast has them after all."""
        try:
            await self._uploads.forget(message_id)
        except LedgerError as error:
            log.warning("upload_not_deleted", message_id=message_id, reason=str(error))


def _attachment(message: Outgoing, reference: FileReference, file: Spooled) -> Attachment:
    return Attachment(
        name=reference.name,
        kind=reference.kind if message.cost else None,  # the photo of a chat must be uploaded, even if it was sent
        file_name=file.file_name,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
    )


def _size_bytes(file: InputFile) -> int | None:
    match file:
        case BufferedInputFile():
            return len(file.data)
        case FSInputFile():
            return Path(file.path).stat().st_size
        case _:
            return None
