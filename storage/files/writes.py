"""How files enter the books with a message, and leave them with the last one that needs them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    delete,
    exists,
    false,
    not_,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.sql import ClauseElement

from tempogram.storage.database.bulk import Binds, BulkStatement
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import IS_PAST_REPLAY, attachments, file_ids, messages, upload_parts, uploads

ADVISORY_LOCK = 7_270_837_101
"""On PostgreSQL: nobody attaches a file anew while another process looks whether anybody needs it."""

NEEDS_BYTES = attachments.c.needs_bytes == true()
"""With the value, or SQLite would not look it up in the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that a message carries.

    Attributes:
        name: What ``attach://`` names in the message's parameters.
        kind: As what Telegram keeps it (``photo``); None: its ``file_id`` cannot be used again.
    """

    name: str
    kind: str | None
    file_name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class MessageFiles:
    """What a message carries, before the message itself is there."""

    message_id: str
    bot_id: int
    attachments: Sequence[Attachment]


def attach(connection: Connection, items: Sequence[MessageFiles]) -> list[set[str]]:
    """Note what messages carry, and answer each with the files whose bytes must be brought.

    The bytes of what Telegram knows already are not needed: it is sent by its ``file_id``.
    """
    _lock(connection)
    known = _known_to_telegram(connection, items)
    rows = [
        {
            "message_id": item.message_id,
            "name": each.name,
            "sha256": each.sha256,
            "size_bytes": each.size_bytes,
            "file_name": each.file_name,
            "kind": each.kind,
            "needs_bytes": (item.bot_id, each.sha256, each.kind) not in known,
        }
        for item in items
        for each in item.attachments
    ]
    connection.execute(insert_by(attachments, connection), rows)
    needed = {row["sha256"] for row in rows if row["needs_bytes"]}
    here = set(connection.execute(select(uploads.c.sha256).where(uploads.c.sha256.in_(needed))).scalars())
    missing = needed - here
    return [
        {
            each.sha256
            for each in item.attachments
            if each.sha256 in missing and (item.bot_id, each.sha256, each.kind) not in known
        }
        for item in items
    ]


def put_parts(connection: Connection, parts: Sequence[tuple[str, int, bytes]]) -> list[None]:
    rows = [{"sha256": sha256, "number": number, "content": content} for sha256, number, content in parts]
    connection.execute(insert_by(upload_parts, connection).on_conflict_do_nothing(), rows)
    return [None] * len(parts)


def complete(connection: Connection, files: Sequence[tuple[str, int]]) -> list[None]:
    rows = [{"sha256": sha256, "size_bytes": size_bytes} for sha256, size_bytes in files]
    connection.execute(insert_by(uploads, connection).on_conflict_do_nothing(), rows)
    return [None] * len(files)


def remember_file_id(connection: Connection, learned: Sequence[tuple[int, str, str, str]]) -> list[None]:
    for bot_id, sha256, kind, file_id in learned:
        write = insert_by(file_ids, connection).values(bot_id=bot_id, sha256=sha256, kind=kind, file_id=file_id)
        key = [file_ids.c.bot_id, file_ids.c.sha256, file_ids.c.kind]
        connection.execute(write.on_conflict_do_update(index_elements=key, set_={"file_id": file_id}))
    return [None] * len(learned)


def forget_file_id(connection: Connection, wrong: Sequence[tuple[int, str]]) -> list[None]:
    connection.execute(delete(file_ids).where(tuple_(file_ids.c.bot_id, file_ids.c.file_id).in_(wrong)))
    return [None] * len(wrong)


def release_bytes(connection: Connection, message_ids: Sequence[str]) -> None:
    """Keep no bytes any more for those messages that will not be sent (again): nearly none has any."""
    freed = RELEASE_BYTES.run(connection, [(message_id,) for message_id in message_ids])
    _drop_unneeded(connection, {row.sha256 for row in freed})


def forget(connection: Connection, message_ids: Sequence[str]) -> list[None]:
    """Know nothing any more of what messages carried that are not (any more) in the books.

    Nor by which names Telegram knows it, unless another message carries it: so these do not become ever more.
    """
    of_these = attachments.c.message_id.in_(message_ids), not_(_has_message())
    gone = delete(attachments).where(*of_these).returning(attachments.c.sha256)
    sha256s = set(connection.execute(gone).scalars())
    _drop_unneeded(connection, sha256s)
    if sha256s:
        connection.execute(names_of_uncarried(sha256s))
    return [None] * len(message_ids)


def forget_bot(connection: Connection, bot_id: int) -> None:
    """Know no file by the name that Telegram gave it for a bot."""
    connection.execute(delete(file_ids).where(file_ids.c.bot_id == bot_id))


def purge_orphans(connection: Connection) -> int:
    """Remove what was brought for messages that never came, and parts of files that never became whole."""
    connection.execute(delete(attachments).where(not_(_has_message())))
    removed = connection.execute(delete(uploads).where(not_(_is_needed(uploads.c.sha256)))).rowcount
    connection.execute(delete(upload_parts).where(upload_parts.c.sha256.not_in(select(uploads.c.sha256))))
    connection.execute(delete(file_ids).where(not_(_is_carried())))
    return removed


def names_of_uncarried(sha256s: Collection[str]) -> Delete:
    return delete(file_ids).where(file_ids.c.sha256.in_(sha256s), not_(_is_carried()))


def _is_carried() -> ColumnElement[bool]:
    return exists().where(attachments.c.sha256 == file_ids.c.sha256)


def _has_message() -> ColumnElement[bool]:
    return exists().where(messages.c.id == attachments.c.message_id)


def _drop_unneeded(connection: Connection, sha256s: set[str]) -> None:
    if not sha256s:
        return
    _lock(connection)
    for table in (uploads, upload_parts):  # there are parts, and no file, if it never became whole
        connection.execute(delete(table).where(table.c.sha256.in_(sha256s), not_(_is_needed(table.c.sha256))))


def _is_needed(sha256: ColumnElement[str]) -> ColumnElement[bool]:
    return exists().where(attachments.c.sha256 == sha256, NEEDS_BYTES)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite's transaction has the whole file already
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})


def _known_to_telegram(connection: Connection, items: Iterable[MessageFiles]) -> set[tuple[int, str, str | None]]:
    key = file_ids.c.bot_id, file_ids.c.sha256, file_ids.c.kind
    wanted = {(item.bot_id, each.sha256, each.kind) for item in items for each in item.attachments if each.kind}
    return {
        (row.bot_id, row.sha256, row.kind) for row in connection.execute(select(*key).where(tuple_(*key).in_(wanted)))
    }


def _release_bytes(_dialect: str, rows: Binds) -> ClauseElement:
    # Asked of the message itself, as when its payload is dropped: see ``records``.
    ended = exists().where(messages.c.id == attachments.c.message_id, IS_PAST_REPLAY)
    of_these = update(attachments).where(attachments.c.message_id.in_([row[0] for row in rows]), NEEDS_BYTES, ended)
    return of_these.values(needs_bytes=false()).returning(attachments.c.sha256)


RELEASE_BYTES = BulkStatement((attachments.c.message_id,), _release_bytes)
