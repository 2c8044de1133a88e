"""Behaviours of one's own: aiogram routers in the modules that ``BEHAVIOURS`` names."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from aiogram import Dispatcher, Router

from tempogram.engine.model.errors import SettingsError

OURS = ("bot", "engine", "api", "storage")
"""The packages of the program. A module of the same name would be one of them, or hide it."""


def routers(names: Sequence[str]) -> list[Router]:
    """Import modules, found where the program was started or where Python finds them, and return their routers.

    Raises:
        SettingsError: One sentence that names the module and what is wrong with it.
    """
    if not names:
        return []
    for name in names:
        _check_name(name)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # behind everything, so that it hides nothing
    return list(_each_once((name, _router_of(name, _imported(name))) for name in names))


def _check_name(name: str) -> None:
    if not all(part.isidentifier() for part in name.split(".")):
        raise SettingsError(f"BEHAVIOURS names {name!r}, which is no module's name; one looks like shop or shop.orders")
    if name.partition(".")[0] in OURS:
        raise SettingsError(
            f"BEHAVIOURS names {name!r}, and {', '.join(OURS)} are packages of the program itself; "
            "give your module another name"
        )


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise SettingsError(
                f"BEHAVIOURS names {name!r}, and there is no such module in {Path.cwd()} or on Python's path"
            ) from error
        raise SettingsError(f"BEHAVIOURS: {name} needs the module {error.name!r}, which is not installed") from error
    except Exception as error:
        raise SettingsError(f"BEHAVIOURS: {name} cannot be imported: {_where(error)}") from error


def _router_of(name: str, module: ModuleType) -> Router:
    found = getattr(module, "router", None)
    if found is None:
        raise SettingsError(f"BEHAVIOURS: {name} has no router; write router = Router() in it, and register with that")
    router = found if isinstance(found, Router) else _made(name, found)
    if isinstance(router, Dispatcher):
        raise SettingsError(f"BEHAVIOURS: router of {name} is a Dispatcher, and there is one already; make it a Router")
    if not isinstance(router, Router):
        raise SettingsError(
            f"BEHAVIOURS: router of {name} is {type(router).__name__}; it must be an aiogram Router, or return one"
        )
    if router.parent_router is not None:
        raise SettingsError(f"BEHAVIOURS: the router of {name} is part of another router already; name that one only")
    return router


def _made(name: str, found: object) -> object:
    try:
        return found() if callable(found) else found
    except Exception as error:
        raise SettingsError(f"BEHAVIOURS: router() of {name} failed: {_where(error)}") from error


def _each_once(named: Iterable[tuple[str, Router]]) -> Iterable[Router]:
    seen: dict[int, str] = {}
    for name, router in named:
        if id(router) in seen:
            raise SettingsError(f"BEHAVIOURS: {seen[id(router)]} and {name} have the same router; name it once")
        seen[id(router)] = name
        yield router


def _where(error: Exception) -> str:
    """Say what happened and in which line of theirs, without a traceback."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    last = traceback.extract_tb(error.__traceback__)[-1]
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words} ({last.filename}, line {last.lineno})"
