from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tempogram.api.security import known_credentials
from tempogram.api.security.known_credentials import BELIEVED_MS, KnownCredentials
from tempogram.api.security.principals import Principal, Role
from tempogram.engine.model.errors import LedgerError
from tempogram.storage.identity.secrets import Credential, Kind
from tempogram.storage.identity.tokens import USED_EVERY_MS, ApiToken
from tests.api.identity import MemoryApiTokens, MemorySessions, MemoryUsers
from tests.fakes import Clock


class Door:
    """``KnownCredentials`` over tokens in memory, with a clock."""

    def __init__(self) -> None:
        self.clock, self.users = Clock(), MemoryUsers()
        self.tokens = MemoryApiTokens(self.users)
        self.sessions = MemorySessions(self.users)
        self.known = KnownCredentials(self.tokens, self.sessions, self.users, clock=self.clock)

    async def made(self, **changes: object) -> str:
        return (await self.tokens.add("ci", Role.OPERATOR, now_ms=self.clock(), **changes)).text  # type: ignore[arg-type]

    async def show(self, text: str, *, may_ask: Callable[[str], bool] = lambda _: True) -> Principal | None:
        return await self.known.of_token(text, may_ask=may_ask)


@pytest.fixture
def door() -> Door:
    return Door()


async def test_a_token_is_read_once_a_second_however_often_it_is_shown(door: Door) -> None:
    text = await door.made()

    shown = [await door.show(text) for _ in range(100)]
    door.clock.advance(BELIEVED_MS - 1)
    await door.show(text)
    before = door.tokens.asked
    door.clock.advance(1)
    await door.show(text)

    assert {each and each.role for each in shown} == {Role.OPERATOR}
    assert (before, door.tokens.asked) == (1, 2)


@pytest.mark.parametrize("how", ["revoked", "disabled", "removed"])
async def test_what_ended_is_refused_within_a_second_without_a_notice(door: Door, how: str) -> None:
    user = await door.users.add("ada", Role.ADMIN, now_ms=door.clock())
    text = await door.made(user_id=user.id)
    shown = await door.show(text)
    assert shown is not None

    if how == "revoked":
        await door.tokens.revoke(str(shown.credential_id), now_ms=door.clock())
    elif how == "disabled":
        await door.users.change(user.id, is_active=False)
    else:
        await door.users.remove(user.id)
    door.clock.advance(BELIEVED_MS)

    assert await door.show(text) is None


async def test_a_role_that_was_changed_holds_within_a_second(door: Door) -> None:
    user = await door.users.add("ada", Role.ADMIN, now_ms=door.clock())
    text = await door.made(user_id=user.id)
    before = await door.show(text)
    await door.users.change(user.id, role=Role.VIEWER)

    door.clock.advance(BELIEVED_MS)
    after = await door.show(text)

    assert [each and (each.role, each.name) for each in (before, after)] == [
        (Role.OPERATOR, "ada/ci"),
        (Role.VIEWER, "ada/ci"),
    ]


async def test_after_a_notice_a_token_is_read_at_once(door: Door) -> None:
    text = await door.made()
    shown = await door.show(text)
    assert shown is not None
    await door.tokens.revoke(str(shown.credential_id), now_ms=door.clock())

    door.known.forget()

    assert await door.show(text) is None


async def test_what_was_read_before_a_notice_is_not_believed_after_it(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, read, goes_on = await door.made(), asyncio.Event(), asyncio.Event()
    of_text = door.tokens.of_text

    async def slowly(text: str, *, now_ms: int) -> ApiToken | None:
        found = await of_text(text, now_ms=now_ms)
        read.set()
        await goes_on.wait()
        return found

    monkeypatch.setattr(door.tokens, "of_text", slowly)
    showing = asyncio.create_task(door.show(text))
    await read.wait()
    door.known.forget()
    goes_on.set()
    await showing

    await door.show(text)

    assert door.tokens.asked == 2


async def test_a_token_ends_at_its_time_though_it_was_read_just_before(door: Door) -> None:
    text = await door.made(expires_at_ms=door.clock() + 10)
    assert await door.show(text) is not None

    door.clock.advance(10)

    assert await door.show(text) is None


async def test_a_clock_that_is_set_back_has_a_token_read_again(door: Door) -> None:
    text = await door.made()
    await door.show(text)

    door.clock.advance(-60_000)
    await door.show(text)

    assert door.tokens.asked == 2


async def test_what_is_no_token_asks_nothing_and_an_unknown_one_is_not_kept(door: Door) -> None:
    for text in ("", "correct-horse-battery-staple", "tpg_" + "a" * 100):
        assert await door.show(text) is None
    without = door.tokens.asked
    for _ in range(50):
        assert await door.show(Credential.new(Kind.TOKEN).text) is None

    assert (without, door.tokens.asked) == (0, 50)
    assert len(door.known._believed) == 0
    assert door.tokens.used == []


async def test_a_token_that_is_not_to_be_asked_for_is_refused_unread(door: Door) -> None:
    text = await door.made()

    assert await door.show(text, may_ask=lambda _: False) is None
    assert door.tokens.asked == 0


async def test_tokens_are_forgotten_before_they_fill_the_memory(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_credentials, "CREDENTIALS_MAX", 10)

    for _ in range(100):
        await door.show(await door.made())

    assert len(door.known._believed) == 10


async def test_the_last_use_is_written_once_a_minute(door: Door) -> None:
    text = await door.made()

    for _ in range(130):
        await door.show(text)
        door.clock.advance(BELIEVED_MS)

    assert len(door.tokens.used) == 130 * BELIEVED_MS // USED_EVERY_MS + 1


async def test_a_use_that_cannot_be_written_refuses_no_token(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_token_id: str, *, now_ms: int) -> None:
        raise LedgerError(f"away at {now_ms}")

    monkeypatch.setattr(door.tokens, "note_use", fail)

    assert await door.show(await door.made()) is not None


async def test_while_the_database_is_away_a_token_is_not_believed_for_longer(door: Door) -> None:
    text = await door.made()
    await door.show(text)
    door.tokens.failure = LedgerError("away")
    assert await door.show(text) is not None

    door.clock.advance(BELIEVED_MS)

    with pytest.raises(LedgerError):
        await door.show(text)


async def test_no_token_stands_in_a_representation(door: Door) -> None:
    text = await door.made()
    principal = await door.show(text)

    assert text not in repr(door.known) + repr(door.known._believed) + repr(principal)
