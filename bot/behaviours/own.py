"""Loads a user's own behaviours: aiogram routers in the modules that ``BEHAVIOURS`` names."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from aiogram import Dispatcher, Router

from tempogram.engine.model.errors import SettingsError


def routers(names: Sequence[str]) -> list[Router]:
    """Import modules from the working directory or Python's path, and return their routers.

    Raises:
        SettingsError: One sentence that names the module and what is wrong with it.
    """
    if not names:
        return []
    for name in names:
        _check_name(name)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that it shadows no installed package
    return list(_each_once((name, _router_of(name, _imported(name))) for name in names))


def _check_name(name: str) -> None:
    if not all(part.isidentifier() for part in name.split(".")):
        raise SettingsError(f"BEHAVIOURS names {name!r}, which is not a module name; write it like shop or shop.orders")
    if name.partition(".")[0] == "tempogram":
        raise SettingsError(
            f"BEHAVIOURS names {name!r}, but tempogram is this program's own package; give your module another name"
        )


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise SettingsError(
                f"BEHAVIOURS names {name!r}, but there is no such module in {Path.cwd()} or on Python's path; "
                "start in the folder that holds it, or correct the name"
            ) from error
        raise SettingsError(
            f"BEHAVIOURS: {name} needs the module {error.name!r}, which is not installed; install it with pip"
        ) from error
    except Exception as error:
        raise SettingsError(f"BEHAVIOURS: {name} cannot be imported: {_summary(error)}") from error


def _router_of(name: str, module: ModuleType) -> Router:
    found = getattr(module, "router", None)
    if found is None:
        raise SettingsError(
            f"BEHAVIOURS: {name} has no router; write router = Router() in it and register its handlers there"
        )
    router = found if isinstance(found, Router) else _made(name, found)
    if isinstance(router, Dispatcher):
        raise SettingsError(
            f"BEHAVIOURS: router of {name} is a Dispatcher, but the program has its own; make it a Router"
        )
    if not isinstance(router, Router):
        raise SettingsError(
            f"BEHAVIOURS: router of {name} is {type(router).__name__}; it must be an aiogram Router or return one"
        )
    if router.parent_router is not None:
        raise SettingsError(
            f"BEHAVIOURS: the router of {name} is already included in another router; name only the module of that one"
        )
    return router


def _made(name: str, found: object) -> object:
    try:
        return found() if callable(found) else found
    except Exception as error:
        raise SettingsError(f"BEHAVIOURS: router() of {name} failed: {_summary(error)}") from error


def _each_once(named: Iterable[tuple[str, Router]]) -> Iterable[Router]:
    seen: dict[int, str] = {}
    for name, router in named:
        if id(router) in seen:
            raise SettingsError(
                f"BEHAVIOURS: {seen[id(router)]} and {name} have the same router; name only one of them"
            )
        seen[id(router)] = name
        yield router


def _summary(error: Exception) -> str:
    """Return what happened and in which line of the user's code, without a traceback."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    last = traceback.extract_tb(error.__traceback__)[-1]
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words} ({last.filename}, line {last.lineno})"
