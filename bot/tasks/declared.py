"""``tempogram.every`` and ``tempogram.cron``: declare tasks beside the handlers of a module."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, TypeVar

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.scheduler.task import CATCH_UP_MS, Overrun, Task
from tempogram.engine.scheduler.times import Cron, Every, Times

Seconds = float | timedelta
"""A span of time; a number is seconds."""

Work = TypeVar("Work", bound=Callable[[], Awaitable[Any]] | Callable[[], Any])

OnOverrun = Literal["skip", "queue", "cancel"]

RESERVED = "tempogram."
"""Names of the engine's own tasks begin so."""

_declared: dict[str, Task] = {}


def every(
    name: str,
    interval: Seconds | tuple[Seconds, Seconds],
    task: Work | None = None,
    **options: Any,
) -> Any:
    """Run a task at an interval, in one process of all that share the database.

    As a decorator, or with the function as ``task``::

        @every("prices", interval=120, timeout=20)
        async def watch_prices() -> None: ...

    Args:
        name: Unique in the whole fleet.
        interval: In seconds, or a ``timedelta``; a pair is the interval and the one to which it is stretched while
            what the task ``uses`` is short.
        task: The function; without it a decorator is returned.
        **options: See ``options_of``.

    Raises:
        SettingsError: One sentence that says what makes no sense.
    """
    lower, upper = interval if isinstance(interval, tuple) else (interval, None)
    times = Every(_ms("interval", lower, name), 0 if upper is None else _ms("interval", upper, name))
    return _declare(name, times, task, options)


def cron(name: str, expression: str, task: Work | None = None, *, zone: str = "UTC", **options: Any) -> Any:
    """Run a task by a cron expression in a time zone; as ``every`` otherwise.

    Args:
        name: Unique in the whole fleet.
        expression: Five fields, or six with seconds first: ``"30 8 * * MON-FRI"``.
        task: The function; without it a decorator is returned.
        zone: As in the tz database: ``"Europe/Berlin"``.
        **options: See ``options_of``.
    """
    return _declare(name, Cron(expression, zone), task, options)


def options_of(
    name: str,
    *,
    on_overrun: OnOverrun = "skip",
    jitter: Seconds = 0,
    timeout: Seconds = 60,
    max_retries: int = 0,
    catch_up: Seconds = CATCH_UP_MS / 1_000,
    at_start: bool = False,
    idempotent: bool = False,
    pause_after: int = 5,
    pause: Seconds = 60,
    well_after: int = 2,
    env: str | None = None,
    uses: Mapping[str, int] | None = None,
    own_thread: bool | None = None,
) -> dict[str, Any]:
    """Return the options of a task as ``Task`` has them.

    Args:
        name: Of the task.
        on_overrun: What is done when it is due while its last run is going: ``skip`` it, run once more at the end
            (``queue``), or ``cancel`` the last run.
        jitter: It begins up to so long after it is due, at random.
        timeout: Of one attempt.
        max_retries: Further attempts of a run that failed.
        catch_up: How old a missed due time may be to be caught up.
        at_start: It also runs when the program starts.
        idempotent: A run whose process died is repeated.
        pause_after: After so many failures in a row it pauses; 0: never.
        pause: How long; doubled for each further failure, up to an hour.
        well_after: After so many successes in a row it is well again.
        env: A variable of the environment that has its interval in milliseconds, if it is set.
        uses: What calls of which service one run makes: ``{"x:mentions": 1}``.
        own_thread: It runs in an event loop of its own, so that it cannot block others; ``None``: from when it has
            blocked them on.
    """
    try:
        overrun = Overrun(on_overrun)
    except ValueError:
        raise SettingsError(f"on_overrun of {name} is {on_overrun!r}; it must be skip, queue or cancel") from None
    return {
        "on_overrun": overrun,
        "jitter_ms": _ms("jitter", jitter, name),
        "timeout_ms": _ms("timeout", timeout, name),
        "max_retries": max_retries,
        "catch_up_ms": _ms("catch_up", catch_up, name),
        "at_start": at_start,
        "is_idempotent": idempotent,
        "pause_after": pause_after,
        "pause_ms": _ms("pause", pause, name),
        "well_after": well_after,
        "env": env,
        "uses": dict(uses or {}),
        "has_own_thread": own_thread,
    }


def declared(environment: Mapping[str, str]) -> list[Task]:
    """Return the tasks that were declared by now, with the intervals that the environment has for them.

    Raises:
        SettingsError: A variable is no interval.
    """
    return [_from_environment(task, environment) for task in _declared.values()]


def forget_all() -> None:
    """Forget what was declared; for tests."""
    _declared.clear()


def _declare(name: str, times: Times, work: Work | None, options: Mapping[str, Any]) -> Any:
    if not isinstance(name, str):
        raise SettingsError(f'{name!r} is no name of a task; write it as a text: every("prices", 120)')
    if name.startswith(RESERVED):
        raise SettingsError(f"{name} cannot be the name of a task: those of the engine begin with {RESERVED}")
    try:
        given = options_of(name, **options)
    except TypeError as error:
        raise SettingsError(f"task {name}: {str(error).replace('options_of() ', '')}") from None

    def declare(function: Work) -> Work:
        if not callable(function):
            raise SettingsError(f"task {name} is {function!r}; it must be a function")
        _keep(Task(name=name, times=times, work=function, **given))
        return function

    return declare if work is None else declare(work)


def _keep(task: Task) -> None:
    known = _declared.get(task.name)
    if known is not None and _place(known.work) != _place(task.work):
        raise SettingsError(
            f"two tasks are named {task.name}, in {_place(known.work)} and {_place(task.work)}; give one another name"
        )
    _declared[task.name] = task


def _place(work: Callable[[], Any]) -> str:
    """Return where a function stands; a module that is imported again declares the same."""
    module = sys.modules.get(getattr(work, "__module__", "") or "")
    return f"{getattr(module, '__name__', '?')}.{getattr(work, '__qualname__', repr(work))}"


def _from_environment(task: Task, environment: Mapping[str, str]) -> Task:
    value = environment.get(task.env, "").strip() if task.env else ""
    if not value:
        return task
    if not (value.isascii() and value.isdecimal()):
        raise SettingsError(f"{task.env} is {value!r}; it must be the interval of {task.name} in milliseconds")
    assert isinstance(task.times, Every)  # noqa: S101 - ``Task`` refuses the other
    try:
        times = replace(
            task.times,
            interval_ms=int(value),
            interval_ms_max=max(task.times.interval_ms_max, int(value)) if task.times.interval_ms_max else 0,
        )
        return replace(task, times=times)
    except SettingsError as error:
        raise SettingsError(f"{task.env} is {value}: {error}") from None


def _ms(what: str, value: Seconds, name: str) -> int:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 1e9:
        raise SettingsError(f"{what} of {name} is {value!r}; it must be a number of seconds or a timedelta")
    return round(seconds * 1_000)
