"""The files that a message carries: where its parameters name them, and how they come into the books.

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
"""What is found again in the answer under the name that it was sent by. A thumbnail cannot be sent again."""

TEXTS = frozenset({"caption", "text"})
"""Where the same letters are words."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where parameters name a file: ``holder[key]`` is ``attach://<name>``.

    Attributes:
        kind: See ``Attachment``.
        item: Of an album, counted from 0.
    """

    holder: Any
    key: Any
    name: str
    kind: str | None
    item: int

    def put(self, value: object) -> None:
        self.holder[self.key] = value


def places(params: dict[str, Any]) -> Iterator[Place]:
    """Find every file that is named.

    >>> album = {"media": [{"type": "photo", "media": "attach://a"}, {"type": "video", "media": "attach://b"}]}
    >>> [(place.name, place.kind, place.item) for place in places(album)]
    [('a', 'photo', 0), ('b', 'video', 1)]
    >>> [(place.name, place.kind) for place in places({"photo": "attach://a", "caption": "attach://b"})]
    [('a', 'photo')]
    """
    for key, value in params.items():
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from _places(value, number, item, None, number)
        else:
            yield from _places(params, key, value, key, 0)


def _places(holder: Any, key: Any, value: object, kind: str | None, item: int) -> Iterator[Place]:
    if isinstance(value, str) and value.startswith(ATTACHED) and key not in TEXTS:
        yield Place(holder, key, value.removeprefix(ATTACHED), kind if kind in KINDS else None, item)
    elif isinstance(value, dict):
        for inner, each in list(value.items()):
            yield from _places(value, inner, each, value.get("type") if inner == "media" else None, item)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _places(value, number, each, None, item)


class Attachments:
    """See ``api.ports.Attachments``; takes aiogram's files too."""

    def __init__(self, uploads: Uploads, spool: Spool) -> None:
        self._uploads = uploads
        self._spool = spool

    @asynccontextmanager
    async def spooled(self, bot: Bot, files: Mapping[str, InputFile]) -> AsyncIterator[dict[str, Spooled]]:
        """Read files, and lend them until the block ends.

        Raises:
            FileTooLarge: One is larger than Telegram takes.
            OSError: One is not there.
        """
        async with AsyncExitStack() as stack:
            yield {
                name: stack.enter_context(
                    await self._spool.take(file.filename or name, file.read(bot), size_bytes=_size_bytes(file))
                )
                for name, file in files.items()
            }

    async def keep(self, message: Outgoing, files: Mapping[str, Spooled]) -> None:
        """See ``api.ports.Attachments``."""
        carried = {
            place.name: _attachment(place, files[place.name])
            for place in places(msgspec.json.decode(message.params))
            if place.name in files
        }
        bytes_of = {file.sha256: file for file in files.values()}
        try:
            await self._uploads.keep(message.id, message.bot_id, list(carried.values()), bytes_of)
        except BaseException:  # whoever waited has gone, or the books are away
            await self.forget(message)
            raise

    async def forget(self, message: Outgoing) -> None:
        """See ``api.ports.Attachments``."""
        if not carries(message):
            return
        try:
            await self._uploads.forget(message.id)
        except LedgerError as error:
            log.warning("kept until the next start", message_id=message.id, reason=str(error))


def carries(message: Outgoing) -> bool:
    """Tell whether a message may carry a file; one whose text says so only costs a look into the books."""
    return ATTACHED.encode() in message.params


def _attachment(place: Place, file: Spooled) -> Attachment:
    return Attachment(
        name=place.name, kind=place.kind, file_name=file.file_name, sha256=file.sha256, size_bytes=file.size_bytes
    )


def _size_bytes(file: InputFile) -> int | None:
    match file:
        case BufferedInputFile():
            return len(file.data)
        case FSInputFile():
            return Path(file.path).stat().st_size
        case _:
            return None
