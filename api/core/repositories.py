"""What the HTTP side reads from storage, as protocols that tests can implement, too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Protocol

from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.messages import ChatId, Outgoing
from tempogram.storage.audit import Change
from tempogram.storage.bots import RegisteredBot
from tempogram.storage.chat_facts import ChatFacts
from tempogram.storage.chats import KnownChat
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.sessions import ApiSession, NewSession
from tempogram.storage.identity.tokens import ApiToken, NewToken
from tempogram.storage.identity.users import User
from tempogram.storage.key_rotation import KeyState, UnderKeys
from tempogram.storage.lookups import After
from tempogram.storage.messages import ChatMessage, MessageState


class MessageHistory(Protocol):
    """See ``storage.messages.MessageHistory``. Each raises ``LedgerError`` if the database is unavailable."""

    async def message(self, message_id: str) -> MessageState | None: ...

    async def of_number(self, chat_id: ChatId, number: int, *, bot_id: int | None = None) -> list[ChatMessage]: ...

    async def of_chat(
        self, bot_id: int, chat_id: ChatId, *, before_id: str | None, limit: int
    ) -> list[ChatMessage]: ...

    async def incoming(
        self, bot_id: int, *, since_ms: int, until_ms: int, after: After | None, limit: int
    ) -> list[ChatMessage]: ...

    async def dead_count(self, bot_id: int | None = None) -> int: ...

    async def dead(
        self, *, after_id: str, limit: int, bot_id: int | None = None, tag: str | None = None
    ) -> list[MessageState]: ...

    async def replay(self, message_ids: Sequence[str]) -> list[Outgoing]: ...

    async def purge_dead(self, *, message_ids: Sequence[str] | None = None, bot_id: int | None = None) -> int: ...


class Audit(Protocol):
    """See ``storage.audit.SqlAudit``."""

    async def add(self, change: Change) -> None: ...

    async def page(
        self, *, before_id: str | None, limit: int, who: str | None = None, target: str | None = None
    ) -> list[Change]: ...


class Keys(Protocol):
    """See ``storage.key_rotation.KeyRotation``."""

    @property
    def has_two(self) -> bool: ...

    async def state(self, *, now_ms: int) -> KeyState: ...

    async def rotate(self) -> UnderKeys: ...


class StoredLimits(Protocol):
    """See ``storage.limits.StoredLimits``."""

    async def current(self) -> Limits: ...

    async def change(self, changes: Mapping[str, Any]) -> Limits: ...

    async def reset(self) -> Limits: ...


class Bots(Protocol):
    """See ``storage.bots.Bots``."""

    async def all(self) -> list[RegisteredBot]: ...

    async def get(self, bot_id: int) -> RegisteredBot | None: ...

    async def among(self, bot_ids: Collection[int]) -> set[int]: ...

    async def set_weight(self, bot_id: int, weight: int) -> bool: ...


class Chats(Protocol):
    """See ``storage.chats.Chats``."""

    async def get(self, bot_id: int, chat_id: ChatId) -> KnownChat | None: ...

    async def page(self, bot_id: int, *, after: str, limit: int, tag: str | None = None) -> list[KnownChat]: ...

    async def set_facts(self, bot_id: int, facts: Sequence[ChatFacts]) -> None: ...


class ChatExport(Protocol):
    """See ``storage.privacy.export.ChatExport``."""

    def rows(self, bot_id: int, chat_id: ChatId) -> AsyncIterator[dict[str, Any]]: ...


class Users(Protocol):
    """See ``storage.identity.users.Users``."""

    async def add(self, name: str, role: Role, *, password_digest: str | None = None, now_ms: int) -> User: ...

    async def get(self, user_id: str) -> User | None: ...

    async def named(self, name: str) -> User | None: ...

    async def all(self) -> list[User]: ...

    async def password_digest(self, user_id: str) -> str | None: ...

    async def change(self, user_id: str, *, role: Role | None = None, is_active: bool | None = None) -> User | None: ...

    async def set_password(self, user_id: str, password_digest: str) -> bool: ...

    async def remove(self, user_id: str) -> bool: ...


class ApiTokens(Protocol):
    """See ``storage.identity.tokens.ApiTokens``."""

    async def add(
        self,
        name: str,
        role: Role,
        *,
        user_id: str | None = None,
        bots: Collection[int] | None = None,
        expires_at_ms: int | None = None,
        now_ms: int,
    ) -> NewToken: ...

    async def get(self, token_id: str) -> ApiToken | None: ...

    async def all(self, *, user_id: str | None = None) -> list[ApiToken]: ...

    async def of_text(self, text: str, *, now_ms: int) -> ApiToken | None: ...

    async def note_use(self, token_id: str, *, now_ms: int) -> None: ...

    async def revoke(self, token_id: str, *, now_ms: int) -> bool: ...


class LoginLinks(Protocol):
    """See ``storage.identity.links.LoginLinks``."""

    async def add(self, user_id: str, *, now_ms: int) -> str: ...

    async def use(self, text: str, *, now_ms: int) -> str | None: ...


class ApiSessions(Protocol):
    """See ``storage.identity.sessions.ApiSessions``."""

    async def add(
        self, user_id: str, *, address: str, now_ms: int, password_digest: str | None = None
    ) -> NewSession | None: ...

    async def of_cookie(self, cookie: str, *, now_ms: int) -> ApiSession | None: ...

    async def note_use(self, session_id: str, *, now_ms: int) -> None: ...

    async def of_user(self, user_id: str, *, now_ms: int) -> list[ApiSession]: ...

    async def end(self, session_id: str, *, user_id: str) -> bool: ...

    async def end_all(self, user_id: str) -> int: ...
