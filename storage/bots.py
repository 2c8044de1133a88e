"""The registered bots: encrypted tokens, behaviours, webhook secrets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, case, exists, false, func, null, select, update

from tempogram.engine.model.messages import PausedBy
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import bots
from tempogram.storage.files import writes as file_writes
from tempogram.storage.fsm import writes as state_writes
from tempogram.storage.keys import Seal
from tempogram.storage.present_key import follow


class Source(StrEnum):
    """Where a bot's updates come from. ``none``: the owner fetches them elsewhere."""

    WEBHOOK = "webhook"
    POLLING = "polling"
    NONE = "none"


class ChosenBy(StrEnum):
    """What a bot's behaviours come from.

    Attributes:
        OWNER: From the request that added or changed the bot.
        SETTINGS: From ``BEHAVIOURS``, as it is a bot of ``BOT_TOKENS``; they follow that setting.
        PROGRAM: It has none: only a user's own ``Bot`` brought it here.
        EARLIER: From a version in which each bot had every module of ``BEHAVIOURS``, too.
    """

    OWNER = "owner"
    SETTINGS = "settings"
    PROGRAM = "program"
    EARLIER = "earlier"


class Removal(StrEnum):
    """What happens to the messages of a removed bot: they wait, are to be cancelled, or none is left."""

    KEEP = "keep"
    CANCEL = "cancel"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredBot:
    """One bot without its secrets, so that it can be logged and shown.

    Attributes:
        behaviours: The settings of each behaviour, by its name.
        defaults: Parameters that its calls have unless they say otherwise; see ``api.schemas.bots.DefaultsIn``.
        paused_by: Why it is paused; None: it is not.
        updates: Where its updates come from; None: as the settings say.
    """

    bot_id: int
    username: str
    first_name: str
    behaviours: Mapping[str, Any]
    paused: bool
    weight: int
    added_at_ms: int
    paused_by: PausedBy | None = None
    updates: Source | None = None
    chosen_by: ChosenBy = ChosenBy.OWNER
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWebhook:
    """The state of one bot's webhook.

    Attributes:
        next_secret: Will replace ``secret``; until then Telegram may send either.
        fingerprint: Of the settings that Telegram accepted last; None: no webhook is set.
    """

    secret: str | None = field(default=None, repr=False)
    next_secret: str | None = field(default=None, repr=False)
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBot:
    """One bot with its secrets. ``token`` is None if it cannot be decrypted."""

    registered: RegisteredBot
    token: str | None = field(repr=False)
    webhook: StoredWebhook


class Bots:
    """The repository of bots. Pausing is a write of the ledger: see ``SqlLedger.pause``."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    async def add(
        self,
        bot_id: int,
        token: str,
        *,
        username: str,
        first_name: str,
        behaviours: Mapping[str, Any],
        chosen_by: ChosenBy = ChosenBy.OWNER,
        now_ms: int,
    ) -> None:
        """Add a bot. One that exists gets the new token and the names that are not empty, and keeps the rest.

        One that only a user's own ``Bot`` brought here gets the behaviours, too.
        """
        row = {
            "bot_id": bot_id,
            "username": username,
            "first_name": first_name,
            "behaviours": dict(behaviours),
            "behaviours_by": chosen_by.value,
            "added_at_ms": now_ms,
        }

        def add(connection: Connection) -> None:
            follow(connection, self._seal.digests)
            _add(connection, row | {"sealed_token": self._seal.seal(token, bot_id=bot_id)})

        await self._database.write_alone(add)

    async def remove(self, bot_id: int, *, keep_messages: bool) -> bool:
        """Delete a bot's token, secrets and settings; False if there was no such bot.

        Its id stays, so that its messages are not sent before it is added again, and the next start knows
        which bots' messages are still to be cancelled.
        """
        removal = Removal.KEEP if keep_messages else Removal.CANCEL
        return await self._change(bot_id, removal=removal.value, **_REMOVED)

    async def removed(self) -> dict[int, Removal]:
        """Return the bots that were removed and not added again, by id."""
        gone = select(bots.c.bot_id, bots.c.removal).where(bots.c.removal.is_not(None))
        async with self._database.reading() as connection:
            return {row.bot_id: Removal(row.removal) for row in await connection.execute(gone)}

    async def mark_cleared(self, bot_id: int) -> None:
        """Store that a removed bot has no message left to cancel, and delete its states and ``file_id``s."""
        while await self._database.write_alone(lambda connection: _forget_states(connection, bot_id)):
            pass  # in small commits, so that other writes do not wait long
        await self._database.write_alone(lambda connection: _mark_cleared(connection, bot_id))

    async def get(self, bot_id: int) -> RegisteredBot | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(bots).where(IS_ADDED, bots.c.bot_id == bot_id))).first()
            return None if row is None else self._registered(row)

    async def all(self) -> list[RegisteredBot]:
        """Return every bot, in the order of their ids."""
        async with self._database.reading() as connection:
            return [self._registered(row) for row in await connection.execute(_ALL)]

    async def tokens(self) -> dict[int, str | None]:
        """Return every bot's token; None for one that cannot be decrypted."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(_ALL)).all()
        return {row.bot_id: self._seal.open(row.sealed_token, bot_id=row.bot_id) for row in rows}

    async def stored(self, bot_ids: Collection[int] | None = None) -> dict[int, StoredBot | None]:
        """Return these bots, or all, as of one moment; None for each that was removed.

        A bot that was never added is left out.
        """
        chosen = select(bots).where(IS_ADDED | bots.c.removal.is_not(None))
        if bot_ids is not None:
            chosen = chosen.where(bots.c.bot_id.in_(bot_ids))
        async with self._database.reading() as connection:
            rows = (await connection.execute(chosen)).all()
        return {row.bot_id: None if row.removal is not None else self._stored(row) for row in rows}

    async def among(self, bot_ids: Collection[int]) -> set[int]:
        """Return those of these bots that exist."""
        chosen = select(bots.c.bot_id).where(IS_ADDED, bots.c.bot_id.in_(bot_ids))
        async with self._database.reading() as connection:
            return set((await connection.execute(chosen)).scalars())

    async def webhooks(self) -> dict[int, StoredWebhook]:
        """Return every bot's webhook."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(_ALL)).all()
        return {row.bot_id: self._webhook(row) for row in rows}

    async def set_webhook_secret(self, bot_id: int, secret: str) -> bool:
        """Store the secret that comes with every update, replacing both; False if there is no such bot."""
        return await self._change_secrets(bot_id, sealed_webhook_secret=secret, sealed_next_webhook_secret=None)

    async def set_next_webhook_secret(self, bot_id: int, secret: str) -> bool:
        """Store the secret that will replace the present one; False if there is no such bot."""
        return await self._change_secrets(bot_id, sealed_next_webhook_secret=secret)

    async def set_webhook_fingerprint(self, bot_id: int, fingerprint: str | None) -> bool:
        """Store which settings Telegram accepted; None: the webhook is deleted. False if there is no such bot."""
        return await self._change(bot_id, webhook_told=fingerprint)

    async def set_updates(self, bot_id: int, source: Source) -> bool:
        """Store where a bot's updates come from; False if there is no such bot."""
        return await self._change(bot_id, updates=source.value)

    async def set_behaviours(
        self, bot_id: int, behaviours: Mapping[str, Any], *, chosen_by: ChosenBy = ChosenBy.OWNER
    ) -> bool:
        """Replace a bot's behaviours; False if there is no such bot."""
        return await self._change(bot_id, behaviours=dict(behaviours), behaviours_by=chosen_by.value)

    async def set_defaults(self, bot_id: int, defaults: Mapping[str, Any]) -> bool:
        """Replace a bot's defaults; False if there is no such bot."""
        return await self._change(bot_id, defaults=dict(defaults))

    async def keep_modules(self, modules: Mapping[str, Any]) -> int:
        """Give these behaviours to each bot of an earlier version, which had them unsaid; return how many bots."""
        return await self._database.write_alone(lambda connection: _keep_modules(connection, modules))

    async def set_weight(self, bot_id: int, weight: int) -> bool:
        """Store how many turns a bot gets for one of a bot of weight 1; False if there is no such bot."""
        return await self._change(bot_id, weight=weight)

    def _stored(self, row: Row[Any]) -> StoredBot:
        token = self._seal.open(row.sealed_token, bot_id=row.bot_id)
        return StoredBot(registered=self._registered(row), token=token, webhook=self._webhook(row))

    def _registered(self, row: Row[Any]) -> RegisteredBot:
        registered = _registered(row)
        if registered.paused_by is not PausedBy.TOKEN or self._seal.open(row.sealed_token, bot_id=row.bot_id):
            return registered
        return replace(registered, paused_by=PausedBy.UNREADABLE)

    def _webhook(self, row: Row[Any]) -> StoredWebhook:
        sealed = row.sealed_webhook_secret, row.sealed_next_webhook_secret
        secret, next_secret = (each and self._seal.open(each, bot_id=row.bot_id) for each in sealed)
        if (secret is None, next_secret is None) != (sealed[0] is None, sealed[1] is None):
            return StoredWebhook()  # one cannot be decrypted: the webhook is set anew, with another
        return StoredWebhook(secret=secret, next_secret=next_secret, fingerprint=row.webhook_told)

    async def _change(self, bot_id: int, **values: object) -> bool:
        return await self._database.write_alone(lambda connection: _change(connection, bot_id, values))

    async def _change_secrets(self, bot_id: int, **texts: str | None) -> bool:
        """Store texts, encrypted with the key that the database has then."""

        def write(connection: Connection) -> bool:
            follow(connection, self._seal.digests)
            sealed = {name: text and self._seal.seal(text, bot_id=bot_id) for name, text in texts.items()}
            return _change(connection, bot_id, sealed)

        return await self._database.write_alone(write)


IS_ADDED = bots.c.sealed_token.is_not(None) | (bots.c.removal.is_(None) & (bots.c.added_at_ms > 0))
"""A bot that was paused before it was ever added has a row, too. One that was added, was not removed and yet has no
token is a bot whose token cannot be read."""

_ALL = select(bots).where(IS_ADDED).order_by(bots.c.bot_id)


_REMOVED: dict[str, Any] = {
    "sealed_token": None,
    "sealed_webhook_secret": None,
    "sealed_next_webhook_secret": None,
    "webhook_told": None,
    "username": "",
    "first_name": "",
    "behaviours": {},
    "behaviours_by": ChosenBy.OWNER.value,
    "defaults": {},
    "updates": None,
    "paused": False,
    "weight": 1,
}


def _change(connection: Connection, bot_id: int, values: Mapping[str, object]) -> bool:
    change = update(bots).where(IS_ADDED, bots.c.bot_id == bot_id).values(**values)
    return connection.execute(change).rowcount == 1


def _add(connection: Connection, row: dict[str, Any]) -> None:
    write = insert_by(bots, connection)
    new = write.excluded
    names = {name: func.coalesce(func.nullif(new[name], ""), bots.c[name]) for name in ("username", "first_name")}
    # A pause since the removal is lifted: a call in flight then may have met the revoked token.
    paused = case((bots.c.removal.is_not(None), false()), else_=bots.c.paused)
    renewed = {"sealed_token": new.sealed_token, "removal": null(), "paused": paused} | names
    is_kept = {
        "added_at_ms": IS_ADDED,
        "behaviours": IS_ADDED & (bots.c.behaviours_by != ChosenBy.PROGRAM.value),
        "behaviours_by": IS_ADDED & (bots.c.behaviours_by != ChosenBy.PROGRAM.value),
    }
    first_time = {name: case((is_as_before, bots.c[name]), else_=new[name]) for name, is_as_before in is_kept.items()}
    connection.execute(
        write.values(row).on_conflict_do_update(index_elements=[bots.c.bot_id], set_=renewed | first_time)
    )


def _keep_modules(connection: Connection, modules: Mapping[str, Any]) -> int:
    is_earlier = bots.c.behaviours_by == ChosenBy.EARLIER.value
    earlier = connection.execute(select(bots).where(IS_ADDED, is_earlier)).all()
    for row in earlier:
        is_of_program = not row.username and not row.behaviours
        whole = {} if is_of_program else {**modules, **row.behaviours}
        by = ChosenBy.PROGRAM if is_of_program else ChosenBy.OWNER
        change = update(bots).where(bots.c.bot_id == row.bot_id)
        connection.execute(change.values(behaviours=whole, behaviours_by=by.value))
    return len(earlier)


def _mark_cleared(connection: Connection, bot_id: int) -> None:
    is_meant = bots.c.bot_id == bot_id, bots.c.removal == Removal.CANCEL.value
    if connection.execute(update(bots).where(*is_meant).values(removal=Removal.DONE.value)).rowcount:
        file_writes.forget_bot(connection, bot_id)


def _forget_states(connection: Connection, bot_id: int) -> int:
    is_cancelled = exists().where(bots.c.bot_id == bot_id, bots.c.removal == Removal.CANCEL.value)
    return state_writes.forget_bot(connection, bot_id, only_if=is_cancelled)


def _registered(row: Row[Any]) -> RegisteredBot:
    return RegisteredBot(
        bot_id=row.bot_id,
        username=row.username,
        first_name=row.first_name,
        behaviours=row.behaviours,
        paused=row.paused,
        weight=row.weight,
        added_at_ms=row.added_at_ms,
        paused_by=PausedBy(row.paused_by or PausedBy.OPERATOR) if row.paused else None,
        updates=row.updates and Source(row.updates),
        chosen_by=ChosenBy(row.behaviours_by),
        defaults=row.defaults,
    )
