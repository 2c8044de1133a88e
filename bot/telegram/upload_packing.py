"""What a message carries, on its way: by the name that Telegram gave it, or else as bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import structlog

from tempogram.bot.telegram.attachments import Place, places
from tempogram.bot.telegram.composer import body_of
from tempogram.bot.telegram.multipart import Form
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import Outgoing
from tempogram.engine.model.outcomes import Failed, HalfSent, Outcome, Rejected, Sent
from tempogram.storage.files.uploads import StoredFile, Uploads

log = structlog.get_logger()

WRONG_FILE_ID = re.compile(r"wrong (remote )?file|wrong file_id|file reference", re.IGNORECASE)
"""What Telegram says to a ``file_id`` that it does not know. Source: https://github.com/tdlib/telegram-bot-api"""

GONE = (
    "Telegram no longer knows the file {name!r}, and its bytes are not kept any more; submit the message again with it"
)


@dataclass(frozen=True, slots=True)
class Packed:
    """A call that is ready to be made.

    Attributes:
        body: JSON, if Telegram knows every file.
        places: Where each of its files was named. What is left of an album names fewer than the message carries.
        files: What lies there, by name.
    """

    message: Outgoing
    body: bytes | Form
    places: list[Place]
    files: Mapping[str, StoredFile]

    def known(self, item: int | None = None) -> list[StoredFile]:
        """Return what goes by the name that Telegram gave it; of an album's ``item`` only, if it is named."""
        there = {place.name for place in self.places if item in {None, place.item}}
        return [self.files[name] for name in sorted(there) if self.files[name].file_id is not None]


class UploadPacker:
    """Packs calls, and learns from their answers what Telegram knows."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    async def pack(self, message: Outgoing) -> Packed | Rejected | Failed:
        """Put together what is sent.

        Returns:
            Rejected: A file is nowhere any more.
            Failed: The books cannot be read.
        """
        params = msgspec.json.decode(body_of(message))
        try:
            carried = {file.name: file for file in await self._uploads.of_message(message.id, message.bot_id)}
        except LedgerError:
            return Failed("the books could not be read", is_ours=True)
        named = [place for place in places(params) if place.name in carried]
        files = {place.name: carried[place.name] for place in named}
        for place in named:
            file = files[place.name]
            if file.file_id is not None:
                place.put(file.file_id)
            elif not file.is_here:
                return Rejected(400, GONE.format(name=file.file_name))
        brought = {name: file for name, file in files.items() if file.file_id is None}
        body = Form(params, brought, self._uploads.parts) if brought else msgspec.json.encode(params)
        return Packed(message, body, named, files)

    async def unpack(self, packed: Packed, outcome: Outcome) -> Outcome:
        """Learn from an answer; a call whose ``file_id`` was wrong is made again with the bytes, if they are kept."""
        try:
            match outcome:
                case Sent(body=body):
                    await self._learn(packed, body)
                case Rejected(400) as refused:
                    return await self._heed(packed, packed.known(), refused)
                case HalfSent(delivered=item, cause=Rejected(400) as refused):
                    return replace(outcome, cause=await self._heed(packed, packed.known(item), refused))
        except LedgerError as error:
            log.warning("not learned", message_id=packed.message.id, reason=str(error))
        return outcome

    async def _heed(self, packed: Packed, known: Sequence[StoredFile], refused: Rejected) -> Rejected | Failed:
        """Forget names that were wrong; where the bytes can go instead, the call may be made again."""
        if not known or not WRONG_FILE_ID.search(refused.reason):
            return refused
        for file in known:
            await self._uploads.forget_file_id(packed.message.bot_id, file.file_id or "")
        return Failed(refused.reason, 400) if all(file.is_here for file in known) else refused

    async def _learn(self, packed: Packed, answer: bytes) -> None:
        result = msgspec.json.decode(answer)["result"]
        for place in packed.places:
            file = packed.files[place.name]
            file_id = None if place.kind is None or file.file_id else file_id_in(result, place.kind, place.item)
            if file_id is not None:
                await self._uploads.remember_file_id(packed.message.bot_id, file.sha256, str(place.kind), file_id)


def file_id_in(result: Any, kind: str, item: int) -> str | None:
    """Return a file's name in an answer: of a photo the largest size's; None if Telegram made something else of it.

    >>> file_id_in({"photo": [{"file_id": "small", "width": 9}, {"file_id": "large", "width": 90}]}, "photo", 0)
    'large'
    >>> file_id_in([{"video": {"file_id": "a"}}, {"document": {"file_id": "b"}}], "document", 1)
    'b'
    >>> file_id_in({"animation": {"file_id": "a"}}, "video", 0)
    """
    try:
        message = result[item] if isinstance(result, list) else result
        found = message[kind]
        if isinstance(found, list):
            found = max(found, key=lambda size: size.get("width", 0))
        return str(found["file_id"])
    except (LookupError, TypeError, ValueError, AttributeError):
        return None  # True, after an edit of what is in no chat
