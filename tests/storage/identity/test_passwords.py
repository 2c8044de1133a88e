from __future__ import annotations

import pytest

from tempogram.storage.identity.passwords import CHARACTERS_MAX, CHARACTERS_MIN, Passwords, UnfitPassword

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

    assert await passwords.is_of(await passwords.digest("\ud800" * 12), "\ud800" * 12)
