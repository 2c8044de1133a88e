"""Guesses of passwords are slowed by address and by account, and no owner is locked out."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tempogram.api.security.log_in_throttle import (
    ACCOUNT_EVERY_MS,
    ADDRESS_EVERY_MS,
    OF_ACCOUNT,
    OF_ADDRESS,
    Attempt,
    LogInThrottle,
)
from tempogram.storage.identity import passwords
from tempogram.storage.identity.secrets import Digests
from tests.api.fakes import World, error_of
from tests.api.security.test_browsers import PASSWORD, ada, log_in
from tests.fakes import Clock

DEVICE_S = 3_600


class Guesses:
    """A throttle with a clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.throttle = LogInThrottle(Digests("a key that no trial finds"), clock=self.clock)

    def made(self, count: int, *, host: str = "203.0.113.7", name: str = "ada", device: str | None = None) -> int:
        """Make wrong guesses, and return how many were compared."""
        return sum(isinstance(self.throttle.attempt(host, name, device), Attempt) for _ in range(count))

    def over_the_world(self, count: int, **options: str) -> int:
        """The same, each from another address."""
        return sum(self.made(1, host=f"198.51.{n // 250}.{n % 250}", **options) for n in range(count))


@pytest.fixture
def guesses() -> Guesses:
    return Guesses()


def test_an_address_compares_some_passwords_at_once_and_then_one_after_the_other(guesses: Guesses) -> None:
    at_once = sum(guesses.made(1, name=f"user{n}") for n in range(100))
    guesses.clock.advance(ADDRESS_EVERY_MS * 3)

    assert at_once == OF_ADDRESS
    assert sum(guesses.made(1, name=f"user{n}") for n in range(100, 200)) == 3


def test_guesses_at_an_account_from_everywhere_are_slowed_together(guesses: Guesses) -> None:
    at_once = guesses.over_the_world(1_000)
    guesses.clock.advance(3_600_000)

    assert at_once == OF_ACCOUNT
    assert guesses.over_the_world(1_000) == OF_ACCOUNT
    guesses.clock.advance(ACCOUNT_EVERY_MS)
    assert guesses.over_the_world(1_000, name="ADA") == 1


def test_an_account_under_attack_is_open_to_a_browser_that_has_logged_in_before(guesses: Guesses) -> None:
    device = guesses.throttle.device_of("ada", valid_s=DEVICE_S)

    guesses.over_the_world(1_000)
    guesses.made(1_000)

    assert guesses.made(1_000, device=device) == OF_ACCOUNT


@pytest.mark.parametrize("how", ["of another account", "expired", "changed", "cut off", "no text"])
def test_a_browser_does_not_get_places_by_a_cookie_that_is(guesses: Guesses, how: str) -> None:
    device = guesses.throttle.device_of("eve" if how == "of another account" else "ada", valid_s=DEVICE_S)
    if how == "expired":
        guesses.clock.advance(DEVICE_S * 1_000)
    elif how == "changed":
        device = device.replace(".", "0.", 1)
    elif how == "cut off":
        device = device[:-1]
    elif how == "no text":
        device = "\ud800..\u00e9"
    guesses.over_the_world(1_000)

    assert guesses.made(10, device=device) == 0


def test_a_right_password_takes_no_place(guesses: Guesses) -> None:
    for _ in range(100):
        attempt = guesses.throttle.attempt("203.0.113.7", "ada", None)
        assert isinstance(attempt, Attempt)
        attempt.give_back()


def test_an_attack_is_one_line_a_minute_of_an_address_and_one_a_second_of_all(guesses: Guesses) -> None:
    with capture_logs() as logs:
        guesses.made(500)
        guesses.over_the_world(500)
        guesses.clock.advance(1_000)
        guesses.over_the_world(500)

    assert [each["reason"] for each in logs] == ["throttled"] * 2


async def test_an_attacker_who_guesses_is_answered_429_and_the_owner_logs_in(world: World) -> None:
    user_id = await ada(world)
    owner = world.browser(address="192.0.2.1")
    await log_in(owner)

    attempts = [
        await log_in(world.browser(address=f"198.51.100.{n}"), f"not the password {n}") for n in range(OF_ACCOUNT + 5)
    ]
    unknown = await log_in(world.browser(address="192.0.2.9"))
    link = (await world.client.post(f"/users/{user_id}/link")).json()["link"]

    assert [each.status_code for each in attempts] == [401] * OF_ACCOUNT + [429] * 5
    assert error_of(attempts[-1])[1] == "too_many_log_ins"
    assert int(attempts[-1].headers["retry-after"]) == ACCOUNT_EVERY_MS // 1_000
    assert unknown.status_code == 429
    assert (await log_in(owner)).status_code == 201
    assert (await world.browser(address="192.0.2.9").post("/session", json={"link": link})).status_code == 201


@pytest.mark.parametrize(("name", "password"), [("ada", "not the password"), ("no-such-user", PASSWORD)])
async def test_a_wrong_name_and_a_wrong_password_are_answered_alike(world: World, name: str, password: str) -> None:
    await ada(world)

    answer = await log_in(world.browser(), password, name)

    assert error_of(answer) == (401, "wrong_log_in", "the name or the password is wrong")


async def test_a_log_in_that_was_too_many_at_once_takes_no_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await ada(world)
    monkeypatch.setattr(passwords, "WAITING_MAX", 0)
    busy = [await log_in(world.browser()) for _ in range(OF_ACCOUNT + 1)]
    monkeypatch.undo()

    assert {error_of(each)[:2] for each in busy} == {(503, "log_ins_busy")}
    assert (await log_in(world.browser())).status_code == 201


async def test_a_disabled_user_is_answered_as_if_the_password_were_wrong(world: World) -> None:
    user_id = await ada(world)
    await world.client.patch(f"/users/{user_id}", json={"is_active": False})

    assert error_of(await log_in(world.browser()))[1] == "wrong_log_in"
