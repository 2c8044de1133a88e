"""``tempogram.every`` and ``tempogram.cron``: declare tasks beside the handlers of a module."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.scheduler.task import Overrun, Task
from tempogram.engine.scheduler.times import Cron, Every, Times

Seconds = float | timedelta
"""A span of time; a number is seconds."""

Work = TypeVar("Work", bound=Callable[[], Awaitable[Any]] | Callable[[], Any])

OnOverrun = Literal["skip", "queue", "cancel"]

RESERVED = "tempogram."
"""Names of the engine's own tasks begin so."""

_declared: dict[str, Task] = {}


class TaskOptions(TypedDict, total=False):
    """What a task may have besides its name and its times. Spans are seconds, or a ``timedelta``.

    Attributes:
        on_overrun: What is done when it is due while its last run is going: ``skip`` it (the default), run once more at
            the end (``queue``), or ``cancel`` the last run.
        jitter: It begins up to so long after it is due, at random; 0.
        timeout: Of one attempt; 60 s.
        max_retries: Further attempts of a run that failed; 0.
        catch_up: How old a missed due time may be to be caught up; an hour.
        at_start: It also runs when the program starts.
        idempotent: A run whose process died is repeated.
        pause_after: After so many failures in a row it pauses; 5; 0: never.
        pause: How long; a minute, doubled for each further failure, up to an hour.
        well_after: After so many successes in a row it is well again; 2.
        env: A variable of the environment that has its interval in milliseconds, if it is set.
        uses: How many calls of which service one run makes: ``{"x:mentions": 1}``.
        own_thread: It runs in an event loop of its own, so that it cannot block others; None: from when it has blocked
            them on.
    """

    on_overrun: OnOverrun
    jitter: Seconds
    timeout: Seconds
    max_retries: int
    catch_up: Seconds
    at_start: bool
    idempotent: bool
    pause_after: int
    pause: Seconds
    well_after: int
    env: str | None
    uses: Mapping[str, int]
    own_thread: bool | None


_FIELDS = {
    "jitter": "jitter_ms",
    "timeout": "timeout_ms",
    "catch_up": "catch_up_ms",
    "pause": "pause_ms",
    "idempotent": "is_idempotent",
    "own_thread": "has_own_thread",
}
"""Options that a ``Task`` has under another name; those in milliseconds are given in seconds."""


@overload
def every(
    name: str, interval: Seconds | tuple[Seconds, Seconds], task: None = None, **options: Unpack[TaskOptions]
) -> Callable[[Work], Work]: ...


@overload
def every(
    name: str, interval: Seconds | tuple[Seconds, Seconds], task: Work, **options: Unpack[TaskOptions]
) -> Work: ...


def every(
    name: str,
    interval: Seconds | tuple[Seconds, Seconds],
    task: Work | None = None,
    **options: Unpack[TaskOptions],
) -> Work | Callable[[Work], Work]:
    """Run a task at an interval, in one process of all that share the database.

    As a decorator, or with the function as ``task``::

        @every("prices", interval=120, timeout=20)
        async def watch_prices() -> None: ...

    Args:
        name: Unique in the whole fleet.
        interval: In seconds, or a ``timedelta``; a pair is the interval and the one to which it is stretched while
            what the task ``uses`` is short.
        task: The function; without it a decorator is returned.
        **options: See ``TaskOptions``.

    Raises:
        SettingsError: One sentence that says what makes no sense.
    """
    lower, upper = interval if isinstance(interval, tuple) else (interval, None)
    times = Every(_ms("interval", lower, name), 0 if upper is None else _ms("interval", upper, name))
    return _declare(name, times, task, options)


@overload
def cron(
    name: str, expression: str, task: None = None, *, zone: str = "UTC", **options: Unpack[TaskOptions]
) -> Callable[[Work], Work]: ...


@overload
def cron(name: str, expression: str, task: Work, *, zone: str = "UTC", **options: Unpack[TaskOptions]) -> Work: ...


def cron(
    name: str, expression: str, task: Work | None = None, *, zone: str = "UTC", **options: Unpack[TaskOptions]
) -> Work | Callable[[Work], Work]:
    """Run a task by a cron expression in a time zone; as ``every`` otherwise.

    Args:
        name: Unique in the whole fleet.
        expression: Five fields, or six with seconds first: ``"30 8 * * MON-FRI"``.
        task: The function; without it a decorator is returned.
        zone: As in the tz database: ``"Europe/Berlin"``.
        **options: See ``TaskOptions``.
    """
    return _declare(name, Cron(expression, zone), task, options)


def declared(environment: Mapping[str, str]) -> list[Task]:
    """Return the tasks that were declared by now, with the intervals that the environment has for them.

    Raises:
        SettingsError: A variable is no interval.
    """
    return [_from_environment(task, environment) for task in _declared.values()]


def declares_tasks(module: str) -> bool:
    """Tell whether a module has declared a task of its own."""
    return any(getattr(task.work, "__module__", "") == module for task in _declared.values())


def forget_all() -> None:
    """Forget what was declared; for tests."""
    _declared.clear()


def _declare(name: str, times: Times, work: Work | None, options: TaskOptions) -> Work | Callable[[Work], Work]:
    if not isinstance(name, str):
        raise SettingsError(f'{name!r} is no name of a task; write it as a text: every("prices", 120)')
    if name.startswith(RESERVED):
        raise SettingsError(f"{name} cannot be the name of a task: those of the engine begin with {RESERVED}")
    given = _fields(name, options)

    def declare(function: Work) -> Work:
        _check_function(name, function)
        _keep(Task(name=name, times=times, work=function, **given))
        return function

    return declare if work is None else declare(work)


def _check_function(name: str, function: object) -> None:
    if not callable(function):
        raise SettingsError(f"task {name} is {function!r}; it must be a function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise SettingsError(f"task {name} has a yield, so calling it does nothing; leave the yield out")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a builtin
        return
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if asked := [each.name for each in parameters if each.default is each.empty and each.kind not in optional]:
        raise SettingsError(
            f"task {name} asks for {', '.join(asked)}, but a task is called without arguments; let a hook of startup "
            "keep what it needs"
        )


def _fields(name: str, options: TaskOptions) -> dict[str, Any]:
    """Return options as ``Task`` has them."""
    given: dict[str, Any] = {}
    for option, value in options.items():
        if option not in TaskOptions.__annotations__:
            known = ", ".join(TaskOptions.__annotations__)
            raise SettingsError(f"{option} is no option of a task, as {name} has it; there are {known}")
        field = _FIELDS.get(option, option)
        given[field] = _ms(option, value, name) if field.endswith("_ms") else value
    if "on_overrun" in given:
        given["on_overrun"] = _overrun(name, given["on_overrun"])
    return given


def _overrun(name: str, value: Any) -> Overrun:
    try:
        return Overrun(value)
    except ValueError:
        raise SettingsError(f"on_overrun of {name} is {value!r}; it must be skip, queue or cancel") from None


def _keep(task: Task) -> None:
    known = _declared.get(task.name)
    if known is not None and _place(known.work) != _place(task.work):
        raise SettingsError(
            f"two tasks are named {task.name}, in {_place(known.work)} and {_place(task.work)}; give one another name"
        )
    if known is None and _engine_runs():
        raise SettingsError(
            f"task {task.name} is declared after the start, so it would never run; declare it in a module that is "
            "imported before"
        )
    _declared[task.name] = task


def _engine_runs() -> bool:
    current = sys.modules.get("tempogram.bot.embedding.current")  # not imported here: it brings aiogram
    return current is not None and current.is_running()


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


def _ms(what: str, value: Any, name: str) -> int:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 1e9:
        raise SettingsError(f"{what} of {name} is {value!r}; it must be a number of seconds or a timedelta")
    return round(seconds * 1_000)
