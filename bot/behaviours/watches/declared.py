"""``tempogram.watched``: declares the sources of what chats may watch."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from tempogram.bot.tasks.budgets import check_named
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.catalogue import Service

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")

Fetch = Callable[[str], Awaitable[Mapping[str, Any]]]

Function = TypeVar("Function", bound=Fetch)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSource:
    """See ``engine.ports.watch_store.Source``."""

    name: str
    service: str
    operation: str
    function: Fetch

    async def fetch(self, key: str) -> Mapping[str, object]:
        return await self.function(key)


_declared: dict[str, DeclaredSource] = {}


@overload
def watched(name: str, uses: str, fetch: None = None) -> Callable[[Function], Function]: ...


@overload
def watched(name: str, uses: str, fetch: Function) -> Function: ...


def watched(name: str, uses: str, fetch: Function | None = None) -> Function | Callable[[Function], Function]:
    """Declare what chats may watch: a source, which knows items by their keys.

    As a decorator, or with the function as ``fetch``::

        @watched("titles", uses="films:availability")
        async def availability(key: str) -> dict[str, object]: ...

    Args:
        name: Unique: up to 32 letters, digits, dots, _ and -.
        uses: The service and its operation within whose limits the function is called: ``films:availability``.
        fetch: Gets a key, and returns names with numbers, texts or truth values; an empty dict if there is no such
            item. What it raises means that this is not known now. Without it a decorator is returned.

    Raises:
        SettingsError: One sentence that says what makes no sense.
    """

    def declare(function: Function) -> Function:
        _keep(name, uses, function)
        return function

    return declare if fetch is None else declare(fetch)


def declared(services: Mapping[str, Service]) -> dict[str, DeclaredSource]:
    """Return the sources that were declared by now, by name.

    Raises:
        SettingsError: One uses what there is not.
    """
    for source in _declared.values():
        check_named(f"source {source.name}", f"{source.service}:{source.operation}", services)
    return dict(_declared)


def declares_source(module: str) -> bool:
    """Tell whether a module has declared a source."""
    return module in _modules


def forget_all() -> None:
    """Forget what was declared; for tests."""
    _declared.clear()
    _modules.clear()


_modules: set[str] = set()


def _keep(name: str, uses: str, function: Fetch) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise SettingsError(
            f"{name!r} is no name of a source; use up to 32 letters, digits, dots, _ and -, and begin with a letter"
        )
    service, _, operation = uses.partition(":")
    if not service or not operation:
        raise SettingsError(f"source {name} uses {uses!r}; write service:operation, as in films:availability")
    if not _is_async(function):
        raise SettingsError(f"source {name} is {function!r}; it must be an async function of a key")
    module = _module_of_caller()
    known = _declared.get(name)
    if known is not None and module not in _modules:
        raise SettingsError(f"two sources are named {name}; give one another name")
    _modules.add(module)
    _declared[name] = DeclaredSource(name=name, service=service, operation=operation, function=function)


def _is_async(function: object) -> bool:
    called = getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _module_of_caller() -> str:
    """Return the module that declares: the first frame outside this one."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))
