"""Puts a message's files into its call: by ``file_id`` where Telegram knows them, otherwise as bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import structlog

from tempogram.bot.telegram.call_body import THUMBNAIL, FileReference, Form, body_of, file_references, owner_of
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import Outgoing
from tempogram.engine.model.outcomes import Failed, HalfSent, Outcome, Rejected, Sent
from tempogram.storage.files.uploads import StoredFile, Uploads

log = structlog.get_logger()

WRONG_FILE_ID = re.compile(r"wrong (remote )?file|wrong file_id|file reference", re.IGNORECASE)
"""Telegram's answers to an unknown ``file_id``. Source: https://github.com/tdlib/telegram-bot-api"""

GONE = (
    "Telegram no longer knows the file {name!r}, and its bytes are no longer stored; submit the message again with it"
)


@dataclass(frozen=True, slots=True)
class Packed:
    """A call that is ready to be made.

    Attributes:
        body: JSON, if Telegram knows every file.
        file_references: Where its files are named. The rest of an album names fewer files than the message has.
        files: The files, by name.
    """

    message: Outgoing
    body: bytes | Form
    file_references: list[FileReference]
    files: Mapping[str, StoredFile]

    def known(self, item: int | None = None) -> list[StoredFile]:
        """Return the files sent by ``file_id``; only those of an album's ``item``, if given."""
        there = {reference.name for reference in self.file_references if item in {None, reference.item}}
        return [self.files[name] for name in sorted(there) if self.files[name].file_id is not None]


class UploadPacker:
    """Packs calls, and stores the ``file_id`` of each file from their answers."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    async def pack(self, message: Outgoing) -> Packed | Rejected | Failed:
        """Return the call with its files.

        Returns:
            Rejected: A file is no longer stored, neither here nor at Telegram.
            Failed: The database cannot be read.
        """
        params = msgspec.json.decode(body_of(message))
        references = list(file_references(params))
        try:
            carried = await self._carried(message, references)
        except LedgerError:
            return Failed("the message's files could not be read", is_ours=True)
        for reference in references:
            if owner_of(reference.name) and reference.name not in carried:
                return Rejected(400, GONE.format(name=reference.name.rpartition("/")[2]))
        named = _without_needless([reference for reference in references if reference.name in carried], carried)
        files = {reference.name: carried[reference.name] for reference in named}
        for reference in named:
            file = files[reference.name]
            if file.file_id is not None:
                reference.put(file.file_id)
            elif not file.is_here:
                return Rejected(400, GONE.format(name=file.file_name))
        uploaded = {name: file for name, file in files.items() if file.file_id is None}
        body = Form(params, uploaded, self._uploads.parts) if uploaded else msgspec.json.encode(params)
        return Packed(message, body, named, files)

    async def unpack(self, packed: Packed, outcome: Outcome) -> Outcome:
        """Store ``file_id`` from an answer; a call with a wrong one is retried with the bytes, if they are stored."""
        try:
            match outcome:
                case Sent(body=body):
                    await self._store_file_ids(packed, body)
                case Rejected(400) as refused:
                    return await self._forget_file_ids(packed, packed.known(), refused)
                case HalfSent(delivered=item, cause=Rejected(400) as refused):
                    return replace(outcome, cause=await self._forget_file_ids(packed, packed.known(item), refused))
        except LedgerError as error:
            log.warning("file_id_not_stored", message_id=packed.message.id, reason=str(error))
        return outcome

    async def _carried(self, message: Outgoing, references: Sequence[FileReference]) -> dict[str, StoredFile]:
        """Return the files of a message by the names in its parameters: its own, or those of its broadcast."""
        media = next(filter(None, (owner_of(reference.name) for reference in references)), "")
        found = await self._uploads.of_message(media or message.id, message.bot_id)
        return {f"{media}/{file.name}" if media else file.name: file for file in found}

    async def _forget_file_ids(
        self, packed: Packed, known: Sequence[StoredFile], refused: Rejected
    ) -> Rejected | Failed:
        """Forget each wrong ``file_id``; the call is retried if the bytes of every file are stored."""
        if not known or not WRONG_FILE_ID.search(refused.reason):
            return refused
        for file in known:
            await self._uploads.forget_file_id(packed.message.bot_id, file.file_id or "")
        return Failed(refused.reason, 400) if all(file.is_here for file in known) else refused

    async def _store_file_ids(self, packed: Packed, answer: bytes) -> None:
        result = msgspec.json.decode(answer)["result"]
        for reference in packed.file_references:
            file = packed.files[reference.name]
            file_id = (
                None if reference.kind is None or file.file_id else file_id_in(result, reference.kind, reference.item)
            )
            if file_id is not None:
                await self._uploads.remember_file_id(packed.message.bot_id, file.sha256, str(reference.kind), file_id)


def _without_needless(named: list[FileReference], files: Mapping[str, StoredFile]) -> list[FileReference]:
    """Remove thumbnails of files that go by their ``file_id``: Telegram has theirs, and takes no other.

    Source: https://core.telegram.org/bots/api#sending-files
    """
    known = [each.holder for each in named if each.kind is not None and files[each.name].file_id is not None]
    left = []
    for each in named:
        if each.key == THUMBNAIL and any(each.holder is holder for holder in known):
            del each.holder[THUMBNAIL]
        else:
            left.append(each)
    return left


def file_id_in(result: Any, kind: str, item: int) -> str | None:
    """Return a file's id from an answer (of a photo the largest size); None if Telegram changed its kind.

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
        return None  # ``True``, after the edit of an inline message
