"""Writes files with their message or broadcast, and deletes them with the last one that needs them."""

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
    or_,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.sql import ClauseElement

from tempogram.engine.model.ids import earliest
from tempogram.storage.database.bulk import Binds, BulkStatement
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import (
    IS_PAST_REPLAY,
    attachments,
    broadcasts,
    file_ids,
    messages,
    upload_parts,
    uploads,
)

ADVISORY_LOCK = 7_270_837_101
"""On PostgreSQL: no file is attached while another process checks whether it is still needed."""

YOUNG_MS = 3_600_000
"""For so long files may be without their message. untuned: to store them takes seconds, and minutes at worst."""

NEEDS_BYTES = attachments.c.needs_bytes == true()
"""Compared with the value, or SQLite would not use the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file of a message.

    Attributes:
        name: What ``attach://`` refers to in the message's parameters.
        kind: What Telegram stores it as (``photo``); None: its ``file_id`` cannot be used again.
    """

    name: str
    kind: str | None
    file_name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class MessageFiles:
    """The files of a message that is not submitted yet, or of a broadcast that is not made yet.

    Attributes:
        message_id: Of a broadcast its ``media``.
        needs_bytes: Also of files that Telegram knows: should it forget one, many messages would be without it.
    """

    message_id: str
    bot_id: int
    attachments: Sequence[Attachment]
    needs_bytes: bool = False


def attach(connection: Connection, items: Sequence[MessageFiles]) -> list[set[str]]:
    """Store which files messages have, and return for each those whose bytes must be stored.

    A file that Telegram knows already is sent by its ``file_id``, and needs no bytes.
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
            "needs_bytes": item.needs_bytes or (item.bot_id, each.sha256, each.kind) not in known,
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
            if each.sha256 in missing and (item.needs_bytes or (item.bot_id, each.sha256, each.kind) not in known)
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


ANY_ATTACHMENT = "SELECT 1 FROM attachments LIMIT 1"
"""Where bots send texts only, this spares a look for each message."""


def release_bytes(connection: Connection, message_ids: Sequence[str]) -> None:
    """Delete the bytes for those messages that will not be sent (again); nearly none has any."""
    if not message_ids or connection.exec_driver_sql(ANY_ATTACHMENT).first() is None:
        return
    freed = RELEASE_BYTES.run(connection, [(message_id,) for message_id in message_ids])
    _drop_unneeded(connection, {row.sha256 for row in freed})


def forget(connection: Connection, message_ids: Sequence[str]) -> list[None]:
    """Delete the attachments of messages and broadcasts that are not, or no longer, in the database.

    Their ``file_id``s go, too, unless another one has the file: else they would grow without bound.
    """
    of_these = attachments.c.message_id.in_(message_ids), not_(_has_owner())
    gone = delete(attachments).where(*of_these).returning(attachments.c.sha256)
    sha256s = set(connection.execute(gone).scalars())
    _drop_unneeded(connection, sha256s)
    if sha256s:
        connection.execute(file_ids_without_message(sha256s))
    return [None] * len(message_ids)


def release_old(connection: Connection, *, ended_before_ms: int, limit: int) -> int:
    """Delete the files of broadcasts that ended before a time, and return of how many."""
    is_old = broadcasts.c.ended_at_ms < ended_before_ms, broadcasts.c.media.is_not(None)
    media = list(connection.execute(select(broadcasts.c.media).where(*is_old).limit(limit)).scalars())
    connection.execute(update(broadcasts).where(broadcasts.c.media.in_(media), *is_old).values(media=None))
    forget(connection, media)
    return len(media)


def forget_bot(connection: Connection, bot_id: int) -> None:
    """Delete every ``file_id`` of a bot."""
    connection.execute(delete(file_ids).where(file_ids.c.bot_id == bot_id))


def purge_orphans(connection: Connection, *, now_ms: int) -> int:
    """Delete files of messages that were never submitted, and files that were never complete.

    Those of young ones stay: another process may be storing them, and their message or broadcast follows.
    """
    _lock(connection)
    is_old = attachments.c.message_id < earliest(now_ms - YOUNG_MS)
    connection.execute(delete(attachments).where(is_old, not_(_has_owner())))
    removed = connection.execute(delete(uploads).where(not_(_is_needed(uploads.c.sha256)))).rowcount
    is_incomplete = upload_parts.c.sha256.not_in(select(uploads.c.sha256))
    connection.execute(delete(upload_parts).where(is_incomplete, not_(_is_needed(upload_parts.c.sha256))))
    connection.execute(delete(file_ids).where(not_(_has_attachment())))
    return removed


def file_ids_without_message(sha256s: Collection[str]) -> Delete:
    return delete(file_ids).where(file_ids.c.sha256.in_(sha256s), not_(_has_attachment()))


def _has_attachment() -> ColumnElement[bool]:
    return exists().where(attachments.c.sha256 == file_ids.c.sha256)


def _has_owner() -> ColumnElement[bool]:
    is_of_message = exists().where(messages.c.id == attachments.c.message_id)
    return or_(is_of_message, exists().where(broadcasts.c.media == attachments.c.message_id))


def _drop_unneeded(connection: Connection, sha256s: set[str]) -> None:
    if not sha256s:
        return
    _lock(connection)
    for table in (uploads, upload_parts):  # a file that was never complete has parts only
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
    # Checked on the message itself, as for its payload: see ``ledger.record``.
    ended = exists().where(messages.c.id == attachments.c.message_id, IS_PAST_REPLAY)
    of_these = update(attachments).where(attachments.c.message_id.in_([row[0] for row in rows]), NEEDS_BYTES, ended)
    return of_these.values(needs_bytes=false()).returning(attachments.c.sha256)


RELEASE_BYTES = BulkStatement((attachments.c.message_id,), _release_bytes)
