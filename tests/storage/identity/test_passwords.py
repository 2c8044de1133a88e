from __future__ import annotations

import asyncio

import pytest

from tempogram.storage.identity.passwords import (
    AT_ONCE,
    CHARACTERS_MAX,
    CHARACTERS_MIN,
    WAITING_MAX,
    Passwords,
    TooManyPasswords,
    UnfitPassword,
)

PASSWORD = "correct horse battery staple"


async def test_a_password_is_recognised_and_another_one_is_not() -> None:
    passwords = Passwords()

    digest = await passwords.digest(PASSWORD)

    assert await passwords.is_of(digest, PASSWORD)
    assert not await passwords.is_of(digest, PASSWORD + "!")


async def test_what_is_stored_is_argon2id_and_differs_each_time() -> None:
    passwords = Passwords()

    first, second = await passwords.digest(PASSWORD), await passwords.digest(PASSWORD)

    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert PASSWORD not in first


async def test_a_user_without_a_password_is_let_in_by_none() -> None:
    passwords = Passwords()

    assert not await passwords.is_of(None, PASSWORD)
    assert not await passwords.is_of(None, "no user has this password")


@pytest.mark.parametrize("count", [0, CHARACTERS_MIN - 1, CHARACTERS_MAX + 1])
async def test_a_password_that_is_too_short_or_too_long_is_refused_unquoted(count: int) -> None:
    with pytest.raises(UnfitPassword, match=f"has {count} characters") as raised:
        await Passwords().digest("ß" * count)

    assert "ß" not in str(raised.value)


async def test_a_damaged_digest_lets_no_password_in() -> None:
    assert not await Passwords().is_of("$argon2id$cut off", PASSWORD)


async def test_half_of_a_surrogate_pair_is_a_password_like_any_other() -> None:
    passwords = Passwords()

    assert await passwords.is_of(await passwords.digest("kzv \ud800 Wq9 plum"), "kzv \ud800 Wq9 plum")


@pytest.mark.parametrize(
    "password", ["passwordpassword", "tempogram2026", "1qaz2wsx3edc4rfv", "ada.lovelace.7", "x" * CHARACTERS_MAX]
)
async def test_a_password_that_is_tried_soon_is_refused_unquoted(password: str) -> None:
    with pytest.raises(UnfitPassword, match="too easy to guess") as raised:
        await Passwords().digest(password, user_name="ada.lovelace")

    assert password not in str(raised.value)


async def test_more_log_ins_than_may_wait_are_refused_and_the_others_served() -> None:
    passwords = Passwords()

    answers = await asyncio.gather(
        *(passwords.is_of(None, PASSWORD) for _ in range(AT_ONCE + WAITING_MAX + 5)), return_exceptions=True
    )

    assert sum(isinstance(each, TooManyPasswords) for each in answers) >= 1
    assert sum(each is False for each in answers) >= WAITING_MAX
    assert await passwords.is_of(await passwords.digest(PASSWORD), PASSWORD)
