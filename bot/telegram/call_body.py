"""The body of a message's call: its parameters, the files that they name, and both as a form.

Source: https://core.telegram.org/bots/api#sending-files
"""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec

from tempogram.bot.telegram.methods import OWN_NAME
from tempogram.engine.model.messages import Outgoing
from tempogram.storage.files.uploads import StoredFile

NO_CHATS = ("inline:", OWN_NAME)
"""How the chats of calls begin whose chat Telegram must not be given."""

ATTACHED = "attach://"

KINDS = frozenset("animation audio document live_photo photo sticker video video_note voice".split())
"""Parameters whose file stands in the answer under the same name. A thumbnail cannot be sent again."""

THUMBNAIL = "thumbnail"
"""The one file that cannot be sent again, and that need not be: Telegram keeps it with its file."""

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


def owner_of(name: str) -> str:
    """Return whose the file of a name is: a broadcast's ``media``; '': the message's own.

    >>> owner_of("018bcfe5680000000000000007/photo"), owner_of("photo")
    ('018bcfe5680000000000000007', '')
    """
    return name.rpartition("/")[0]


def carries(message: Outgoing) -> bool:
    """Tell whether a message may carry a file; a text that only looks like it costs one query."""
    return ATTACHED.encode() in message.params


def body_of(message: Outgoing) -> bytes:
    """Return the JSON body of a message's call: the chat, whether it is paid for, and the stored parameters.

    The chat is kept apart, so that a migration need not change the stored parameters; whether it is paid for is known
    only at the lease.

    >>> body_of(Outgoing(id="", bot_id=1, chat_id=-5, method="sendMessage", params=b'{"text":"a"}', is_paid=True))
    b'{"chat_id":-5,"allow_paid_broadcast":true,"text":"a"}'
    """
    chat_id, first = message.chat_id, []
    if chat_id is not None and not (isinstance(chat_id, str) and chat_id.startswith(NO_CHATS)):
        first.append(b'"chat_id":' + msgspec.json.encode(chat_id))
    if message.is_paid:
        first.append(b'"allow_paid_broadcast":true')
    if message.params != b"{}":
        first.append(message.params[1:-1])
    return b"{" + b",".join(first) + b"}"


Parts = Callable[[str], AsyncIterator[bytes]]
"""Reads a file by its sha256, in parts."""

BINARY = "application/octet-stream"


class Form:
    """Parameters and files. Its length is known before the files are read, so Telegram can refuse it at once."""

    def __init__(self, params: Mapping[str, Any], files: Mapping[str, StoredFile], parts: Parts) -> None:
        boundary = uuid4().hex
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._pieces = list(_pieces(boundary, params, files))
        self._parts = parts

    @property
    def length(self) -> int:
        return sum(piece.size_bytes if isinstance(piece, StoredFile) else len(piece) for piece in self._pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body in parts.

        Raises:
            LedgerError: A file cannot be read.
        """
        for piece in self._pieces:
            if isinstance(piece, StoredFile):
                async for part in self._parts(piece.sha256):
                    yield part
            else:
                yield piece


def _pieces(boundary: str, params: Mapping[str, Any], files: Mapping[str, StoredFile]) -> Iterator[bytes | StoredFile]:
    for name, value in params.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        yield f"--{boundary}\r\n{_named(name)}\r\n\r\n{text}\r\n".encode()
    for name, file in files.items():
        kind = mimetypes.guess_type(file.file_name)[0] or BINARY
        named = f'{_named(name)}; filename="{_quoted(file.file_name)}"'
        yield f"--{boundary}\r\n{named}\r\nContent-Type: {kind}\r\n\r\n".encode()
        yield file
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _named(name: str) -> str:
    return f'Content-Disposition: form-data; name="{_quoted(name)}"'


def _quoted(name: str) -> str:
    r"""Return a name escaped for a quoted string; a client of the API chooses parameter names freely.

    >>> print(_quoted('a"b\\c'), _quoted("a\r\nb"))
    a\"b\\c ab
    """
    return name.translate({ord("\\"): "\\\\", ord('"'): '\\"', ord("\r"): None, ord("\n"): None})
