from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tempogram.bot.tasks.declared import cron, declared, every, forget_all
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.scheduler.task import Overrun
from tempogram.engine.scheduler.times import Cron, Every


@pytest.fixture(autouse=True)
def _nothing_declared() -> Iterator[None]:
    forget_all()
    yield
    forget_all()


NO_OPTION = (
    "retries is no option of a task, as poll has it; there are on_overrun, jitter, timeout, max_retries, catch_up, "
    "at_start, idempotent, pause_after, pause, well_after, env, uses, own_thread"
)


async def work() -> None: ...


async def other_work() -> None: ...


def test_a_task_is_declared_as_a_decorator_that_leaves_the_function_as_it_is() -> None:
    @every("prices", interval=120, on_overrun="queue", jitter=5, timeout=20, max_retries=2)
    async def watch_prices() -> str:
        return "watched"

    (task,) = declared({})
    assert task.work is watch_prices
    assert task.times == Every(120_000)
    assert (task.on_overrun, task.jitter_ms, task.timeout_ms, task.max_retries) == (Overrun.QUEUE, 5_000, 20_000, 2)


def test_a_task_is_declared_with_its_function() -> None:
    every("prices", timedelta(minutes=2), work)
    cron("report", "0 9 * * MON", other_work, zone="Europe/Berlin", idempotent=True)

    prices, report = declared({})
    assert prices.times == Every(120_000)
    assert report.times == Cron("0 9 * * MON", "Europe/Berlin")
    assert report.is_idempotent


def test_an_interval_that_may_be_stretched_has_two_bounds() -> None:
    every("prices", (120, 600), work, uses={"x:mentions": 1})

    assert declared({})[0].times == Every(120_000, 600_000)


def test_the_environment_has_the_interval_in_milliseconds() -> None:
    every("twitterPoller", 120, work, env="TWITTER_POLL_INTERVAL")

    assert declared({"TWITTER_POLL_INTERVAL": "90000"})[0].times == Every(90_000)
    assert declared({"TWITTER_POLL_INTERVAL": " "})[0].times == Every(120_000)


@pytest.mark.parametrize(("value", "times"), [("60000", Every(60_000, 600_000)), ("700000", Every(700_000, 700_000))])
def test_the_environment_has_the_lower_bound_of_an_interval_that_is_stretched(value: str, times: Every) -> None:
    every("poll", (120, 600), work, env="TWITTER_POLL_INTERVAL")

    assert declared({"TWITTER_POLL_INTERVAL": value})[0].times == times


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("2m", "TWITTER_POLL_INTERVAL is '2m'; it must be the interval of poll in milliseconds"),
        ("-5", "TWITTER_POLL_INTERVAL is '-5'; it must be the interval of poll in milliseconds"),
        ("5", "TWITTER_POLL_INTERVAL is 5: the interval is 0.005 s; it must be between 0.1 s and 366 days"),
    ],
)
def test_an_interval_of_the_environment_that_makes_no_sense_is_refused(value: str, sentence: str) -> None:
    every("poll", 120, work, env="TWITTER_POLL_INTERVAL")

    with pytest.raises(SettingsError) as refused:
        declared({"TWITTER_POLL_INTERVAL": value})
    assert str(refused.value) == sentence


def test_a_module_that_is_imported_again_declares_its_tasks_again() -> None:
    every("poll", 120, work)
    every("poll", 60, work)

    assert [task.times for task in declared({})] == [Every(60_000)]


def test_two_functions_cannot_have_one_name() -> None:
    every("poll", 120, work)

    with pytest.raises(
        SettingsError, match=r"two tasks are named poll, in .*\.work and .*\.other_work; give one another"
    ):
        every("poll", 120, other_work)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"interval": 0}, "the interval is 0 s; it must be between 0.1 s and 366 days"),
        ({"interval": "2m"}, "interval of poll is '2m'; it must be a number of seconds or a timedelta"),
        ({"interval": True}, "interval of poll is True; it must be a number of seconds or a timedelta"),
        ({"interval": float("nan")}, "interval of poll is nan; it must be a number of seconds or a timedelta"),
        ({"interval": 60, "on_overrun": "wait"}, "on_overrun of poll is 'wait'; it must be skip, queue or cancel"),
        ({"interval": 60, "retries": 1}, NO_OPTION),
        ({"interval": 60, "jitter": 60}, "the jitter of poll is 60 s; it must be shorter than its interval, 60 s"),
        ({"interval": 60, "max_retries": -1}, "max_retries of poll is -1; it must be a whole number from 0 to 100"),
        ({"interval": 60, "timeout": 0}, "timeout_ms of poll is 0; it must be a whole number from 1 to 86400000"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused_in_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        every("poll", task=work, **options)
    assert str(refused.value) == sentence
    assert declared({}) == []


@pytest.mark.parametrize("name", ["", "1st", "a b", "x" * 65, "tempogram.retention", "päper"])
def test_a_name_that_no_task_may_have_is_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        every(name, 60, work)


async def asks(bot: object, chat_id: int) -> None: ...


async def yields() -> AsyncIterator[int]:
    yield 1


async def has_defaults(bot: object = None, *args: object, **words: object) -> None: ...


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (asks, "task poll asks for bot, chat_id, but a task is called without arguments; let a hook of startup keep"),
        (yields, "task poll has a yield, so calling it does nothing; leave the yield out"),
        ("work", "task poll is 'work'; it must be a function"),
    ],
)
def test_a_function_that_cannot_be_a_task_is_refused(function: Any, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        every("poll", 60, function)
    assert str(refused.value).startswith(sentence)


def test_a_function_whose_arguments_are_all_optional_is_a_task() -> None:
    every("poll", 60, has_defaults)
    every("part", 60, partial(asks, None, 7))

    assert len(declared({})) == 2


def test_a_decorator_without_its_name_says_so() -> None:
    with pytest.raises(SettingsError, match='is no name of a task; write it as a text: every\\("prices", 120\\)'):
        every(work, 60)  # type: ignore[call-overload]
