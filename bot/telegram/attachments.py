"""The files of a message: where its parameters name them, and how they are stored.

Source: https://core.telegram.org/bots/api#sending-files
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog
from aiogram import Bot
from aiogram.types import BufferedInputFile, FSInputFile, InputFile

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import Outgoing
from tempogram.storage.files.spool import Spool, Spooled
from tempogram.storage.files.uploads import Uploads
from tempogram.storage.files.writes import Attachment

log = structlog.get_logger()

ATTACHED = "attach://"

KINDS = frozenset("animation audio document live_photo photo sticker video video_note voice".split())
"""Parameters whose file stands in the answer under the same name. A thumbnail cannot be sent again."""

TEXTS = frozenset({"caption", "text"})
"""Parameters whose value is text, also if it starts with ``attach://``."""


@dataclass(frozen=True, slots=True)
class FileReference:
    """A parameter that names a file: ``holder[key]`` is ``attach://<name>``.

    Attributes:
        kind: See ``Attachment``.
        item: The index in an album, from 0.
    """

    holder: Any
    key: Any
    name: str
    kind: str | None
    item: int

    def put(self, value: object) -> None:
        self.holder[self.key] = value


def file_references(params: dict[str, Any]) -> Iterator[FileReference]:
    """Find every parameter that names a file.

    >>> album = {"media": [{"type": "photo", "media": "attach://a"}, {"type": "video", "media": "attach://b"}]}
    >>> [(reference.name, reference.kind, reference.item) for reference in file_references(album)]
    [('a', 'photo', 0), ('b', 'video', 1)]
    >>> [(reference.name, reference.kind) for reference in file_references({"photo": "attach://a", "caption": "attach://b"})]
    [('a', 'photo')]
    """
    for key, value in params.items():
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from _file_references(value, number, item, None, number)
        else:
            yield from _file_references(params, key, value, key, 0)


def _file_references(holder: Any, key: Any, value: object, kind: str | None, item: int) -> Iterator[FileReference]:
    if isinstance(value, str) and value.startswith(ATTACHED) and key not in TEXTS:
        yield FileReference(holder, key, value.removeprefix(ATTACHED), kind if kind in KINDS else None, item)
    elif isinstance(value, dict):
        for inner, each in list(value.items()):
            yield from _file_references(value, inner, each, value.get("type") if inner == "media" else None, item)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _file_references(value, number, each, None, item)


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

    async def keep(self, message: Outgoing, files: Mapping[str, Spooled]) -> None:
        """See ``api.core.ports.Attachments``."""
        carried = {
            reference.name: _attachment(message, reference, files[reference.name])
            for reference in file_references(msgspec.json.decode(message.params))
            if reference.name in files
        }
        bytes_of = {file.sha256: file for file in files.values()}
        try:
            await self._uploads.keep(message.id, message.bot_id, list(carried.values()), bytes_of)
        except BaseException:  # the caller was cancelled, or the database is unavailable
            await self.forget(message)
            raise

    async def forget(self, message: Outgoing) -> None:
        """See ``api.core.ports.Attachments``."""
        if not carries(message):
            return
        try:
            await self._uploads.forget(message.id)
        except LedgerError as error:
            log.warning("upload_not_deleted", message_id=message.id, reason=str(error))


def carries(message: Outgoing) -> bool:
    """Tell whether a message may carry a file; a text that only looks like it costs one query."""
    return ATTACHED.encode() in message.params


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
