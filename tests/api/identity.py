"""Users, API tokens and sessions in memory, for tests of the API."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from tempogram.engine.model.errors import LedgerError
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.secrets import Credential, Kind, new_id
from tempogram.storage.identity.sessions import ABSOLUTE_MS, IDLE_MS, ApiSession, NewSession
from tempogram.storage.identity.tokens import ApiToken, NewToken
from tempogram.storage.identity.users import NameTaken, User


@dataclass
class MemoryUsers:
    """See ``storage.identity.users.Users``."""

    stored: dict[str, User] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    on_log_ins_ended: Callable[[str], None] = lambda _: None

    async def add(self, name: str, role: Role, *, password_digest: str | None = None, now_ms: int) -> User:
        if await self.named(name) is not None:
            raise NameTaken(name)
        user = User(id=new_id(), name=name, role=role, is_active=True, has_password=False, created_at_ms=now_ms)
        self.stored[user.id] = user
        if password_digest is not None:
            await self.set_password(user.id, password_digest)
        return self.stored[user.id]

    async def get(self, user_id: str) -> User | None:
        return self.stored.get(user_id)

    async def named(self, name: str) -> User | None:
        return next((each for each in self.stored.values() if each.name.casefold() == name.casefold()), None)

    async def all(self) -> list[User]:
        return sorted(self.stored.values(), key=lambda each: each.name.casefold())

    async def password_digest(self, user_id: str) -> str | None:
        return self.digests.get(user_id)

    async def change(self, user_id: str, *, role: Role | None = None, is_active: bool | None = None) -> User | None:
        user = self.stored.get(user_id)
        if user is not None:
            is_active = user.is_active if is_active is None else is_active
            self.stored[user_id] = replace(user, role=role or user.role, is_active=is_active)
            if not is_active:
                self.on_log_ins_ended(user_id)
        return self.stored.get(user_id)

    async def set_password(self, user_id: str, password_digest: str) -> bool:
        self.digests[user_id] = password_digest
        self.on_log_ins_ended(user_id)
        self.stored[user_id] = replace(self.stored[user_id], has_password=True)
        return True

    async def remove(self, user_id: str) -> bool:
        self.on_log_ins_ended(user_id)
        return self.stored.pop(user_id, None) is not None


@dataclass
class MemoryApiTokens:
    """See ``storage.identity.tokens.ApiTokens``; it counts what it is asked."""

    users: MemoryUsers
    stored: dict[str, ApiToken] = field(default_factory=dict)
    asked: int = 0
    used: list[tuple[str, int]] = field(default_factory=list)
    failure: LedgerError | None = None

    async def add(
        self,
        name: str,
        role: Role,
        *,
        user_id: str | None = None,
        bots: Collection[int] | None = None,
        expires_at_ms: int | None = None,
        now_ms: int,
    ) -> NewToken:
        credential = Credential.new(Kind.TOKEN)
        self.stored[credential.text] = ApiToken(
            id=credential.id,
            name=name,
            role=role,
            user_id=user_id,
            user_name=None,
            bots=None if bots is None else frozenset(bots),
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
            last_used_at_ms=None,
            revoked_at_ms=None,
        )
        return NewToken(self._shown(credential.text), credential.text)

    async def get(self, token_id: str) -> ApiToken | None:
        return next((each for each in await self.all() if each.id == token_id), None)

    async def all(self, *, user_id: str | None = None) -> list[ApiToken]:
        shown = [self._shown(text) for text in self.stored]
        return [each for each in shown if user_id in {None, each.user_id}]

    async def of_text(self, text: str, *, now_ms: int) -> ApiToken | None:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        if text not in self.stored:
            return None
        token = self._shown(text)
        user = None if token.user_id is None else self.users.stored.get(token.user_id)
        has_ended = token.revoked_at_ms is not None or (token.expires_at_ms or now_ms + 1) <= now_ms
        is_let_in = token.user_id is None if user is None else user.is_active
        return token if is_let_in and not has_ended else None

    async def note_use(self, token_id: str, *, now_ms: int) -> None:
        self.used.append((token_id, now_ms))
        self._change(token_id, last_used_at_ms=now_ms)

    async def revoke(self, token_id: str, *, now_ms: int) -> bool:
        token = await self.get(token_id)
        if token is None or token.revoked_at_ms is not None:
            return False
        self._change(token_id, revoked_at_ms=now_ms)
        return True

    def _change(self, token_id: str, **values: Any) -> None:
        self.stored = {
            text: replace(each, **values) if each.id == token_id else each for text, each in self.stored.items()
        }

    def _shown(self, text: str) -> ApiToken:
        token = self.stored[text]
        user = None if token.user_id is None else self.users.stored.get(token.user_id)
        return token if user is None else replace(token, user_name=user.name, role=min(token.role, user.role))


@dataclass
class MemoryLinks:
    """See ``storage.identity.links.LoginLinks``."""

    stored: dict[str, str] = field(default_factory=dict)

    async def add(self, user_id: str, *, now_ms: int) -> str:
        text = Credential.new(Kind.LINK).text
        self.stored[text] = user_id
        return text

    async def use(self, text: str, *, now_ms: int) -> str | None:
        return self.stored.pop(text, None)


@dataclass
class MemorySessions:
    """See ``storage.identity.sessions.ApiSessions``; it counts what it is asked."""

    users: MemoryUsers
    stored: dict[str, ApiSession] = field(default_factory=dict)
    asked: int = 0
    used: list[tuple[str, int]] = field(default_factory=list)

    async def add(
        self, user_id: str, *, address: str, now_ms: int, password_digest: str | None = None
    ) -> NewSession | None:
        user = self.users.stored.get(user_id)
        if user is None or not user.is_active or password_digest not in {None, self.users.digests.get(user_id)}:
            return None
        credential = Credential.new(Kind.SESSION)
        self.stored[credential.text] = ApiSession(
            id=new_id(),
            token_id=credential.id,
            user_id=user_id,
            user_name=user.name,
            role=user.role,
            created_at_ms=now_ms,
            seen_at_ms=now_ms,
            expires_at_ms=now_ms + IDLE_MS,
            ends_at_ms=now_ms + ABSOLUTE_MS,
            address=address,
        )
        return NewSession(self.stored[credential.text], credential.text)

    async def of_cookie(self, cookie: str, *, now_ms: int) -> ApiSession | None:
        self.asked += 1
        session = self.stored.get(cookie)
        user = None if session is None else self.users.stored.get(session.user_id)
        if session is None or user is None or not user.is_active or session.expires_at_ms <= now_ms:
            return None
        return replace(session, role=user.role)

    async def note_use(self, session_id: str, *, now_ms: int) -> None:
        self.used.append((session_id, now_ms))
        self._change(session_id, seen_at_ms=now_ms, expires_at_ms=now_ms + IDLE_MS)

    async def of_user(self, user_id: str, *, now_ms: int) -> list[ApiSession]:
        return [each for each in self.stored.values() if each.user_id == user_id and each.expires_at_ms > now_ms]

    async def end(self, session_id: str, *, user_id: str) -> bool:
        before = len(self.stored)
        self._keep(lambda each: (each.id, each.user_id) != (session_id, user_id))
        return len(self.stored) < before

    async def end_all(self, user_id: str) -> int:
        before = len(self.stored)
        self._keep(lambda each: each.user_id != user_id)
        return before - len(self.stored)

    def _keep(self, is_kept: Callable[[ApiSession], bool]) -> None:
        self.stored = {text: each for text, each in self.stored.items() if is_kept(each)}

    def _change(self, session_id: str, **values: Any) -> None:
        self.stored = {
            text: replace(each, **values) if each.id == session_id else each for text, each in self.stored.items()
        }
