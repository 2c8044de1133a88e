"""Loads a user's own behaviours: the modules that ``BEHAVIOURS`` names."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from aiogram import Dispatcher, Router

from tempogram.bot.behaviours.behaviour import Behaviour, summary
from tempogram.bot.behaviours.watches.declared import declares_source
from tempogram.bot.config.logging import open_to_modules
from tempogram.bot.tasks.declared import declares_tasks
from tempogram.engine.model.errors import SettingsError

BUNDLED = tuple(
    f"tempogram.bot.behaviours.{name}"
    for name in ("preferences", "broadcasts", "commands", "watches", "reengagement", "replies", "echo")
)
"""These may be named, too: the bots of ``BOT_TOKENS`` have them then."""

FUNCTIONS = ("setup", "check", "on_bot_added", "on_bot_removed")
"""What a module may have besides its router."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def load(names: Sequence[str]) -> list[Behaviour]:
    """Import modules from the working directory or Python's path.

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
    with open_to_modules():
        return list(_each_once((name, _behaviour_of(name, _imported(name))) for name in names))


def _check_name(name: str) -> None:
    if not all(part.isidentifier() for part in name.split(".")):
        raise SettingsError(f"BEHAVIOURS names {name!r}, which is not a module name; write it like shop or shop.orders")
    if name.partition(".")[0] == "tempogram" and name not in BUNDLED:
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
        raise SettingsError(f"BEHAVIOURS: {name} cannot be imported: {summary(error)}") from error


def _behaviour_of(name: str, module: ModuleType) -> Behaviour:
    for function in FUNCTIONS:
        if not callable(getattr(module, function, _nothing)):
            raise SettingsError(f"BEHAVIOURS: {function} of {name} is not a function; give it another name")
    return Behaviour(name=_name_of(name, module), module=module, router=_router_of(name, module))


def _nothing() -> None:
    """Stands for a function that a module does not have."""


def _name_of(name: str, module: ModuleType) -> str:
    chosen = getattr(module, "NAME", name.rpartition(".")[2])
    if not isinstance(chosen, str) or not _NAME.fullmatch(chosen):
        raise SettingsError(
            f"BEHAVIOURS: NAME of {name} is {chosen!r}; it must have 1 to 64 letters, digits, dots, _ or -"
        )
    return chosen


def _router_of(name: str, module: ModuleType) -> Router | None:
    found, has_setup = getattr(module, "router", None), hasattr(module, "setup")
    if not isinstance(found, Router) and (has_setup or (found is None and declares(name))):
        return None
    if found is None:
        raise SettingsError(
            f"BEHAVIOURS: {name} has no router; write router = Router() in it and register its handlers there, "
            "or write setup(dispatcher)"
        )
    router = found if isinstance(found, Router) else _made(name, found)
    if isinstance(router, Dispatcher):
        raise SettingsError(
            f"BEHAVIOURS: router of {name} is a Dispatcher, but the program makes one for it; make it a Router, "
            "and write what the Dispatcher needs into setup(dispatcher)"
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


def declares(module: str) -> bool:
    """Tell whether a module is there for tasks or for what is watched, and needs no router."""
    return declares_tasks(module) or declares_source(module)


def _made(name: str, found: object) -> object:
    try:
        return found() if callable(found) else found
    except Exception as error:
        raise SettingsError(f"BEHAVIOURS: router() of {name} failed: {summary(error)}") from error


def _each_once(named: Iterable[tuple[str, Behaviour]]) -> Iterable[Behaviour]:
    seen: set[str] = set()
    routers: dict[int, str] = {}
    names = {path.rpartition(".")[2]: path for path in BUNDLED}
    for path, behaviour in named:
        if path in seen:
            raise SettingsError(f"BEHAVIOURS names {path} twice; name it once")
        seen.add(path)
        if behaviour.router is not None and (other := routers.setdefault(id(behaviour.router), path)) != path:
            raise SettingsError(f"BEHAVIOURS: {other} and {path} have the same router; name only one of them")
        if (other := names.setdefault(behaviour.name, path)) != path:
            raise SettingsError(
                f"BEHAVIOURS: {other} and {path} are both named {behaviour.name}; give one a name of its own, as in "
                f'NAME = "{path.replace(".", "_")}_2"'
            )
        yield behaviour
