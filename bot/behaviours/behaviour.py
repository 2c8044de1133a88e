"""A behaviour: a module that says what a bot answers; the bundled ones and a user's own have the same form.

NAME               its name, if that is not the last part of the module's path
router             an aiogram ``Router``, or a function that returns one
setup(dispatcher)  registers what a ``main()`` would: routers, middlewares, hooks, error handlers, a storage
check(config)      raises ``ValueError`` for settings that are not valid
on_bot_added(bot), on_bot_removed(bot_id)
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from types import ModuleType
from typing import Any, cast

from aiogram import Dispatcher, Router
from pydantic import ValidationError

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.bot.config.logging import open_to_modules
from tempogram.engine.model.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One behaviour.

    Attributes:
        router: None: ``setup`` includes what there is.
    """

    name: str
    module: ModuleType
    router: Router | None = None

    def check(self, config: object) -> None:
        """Refuse settings that are not valid.

        Raises:
            Refusal: One sentence that names what is wrong.
        """
        if not isinstance(config, Mapping):
            raise Refusal(f"the settings of {self.name} are {short(config)}; they must be an object, {{}} for none")
        check = self.function("check")
        try:
            if check is not None:
                check(config)
        except Refusal:
            raise
        except ValidationError as error:
            raise Refusal(f"the settings of {self.name} are refused: {_first_of(error)}") from error
        except ValueError as error:
            raise Refusal(f"the settings of {self.name} are refused: {one_line(error)}") from error
        except Exception as error:
            raise Refusal(f"check() of {self.name} failed: {summary(error)}") from error

    async def set_up(self, dispatcher: Dispatcher) -> None:
        """Let the module register its handlers; a ``router`` that its ``setup`` leaves alone is included after it.

        Raises:
            SettingsError: One sentence that names the behaviour and the line of its code.
        """
        setup = self.function("setup")
        try:
            with open_to_modules():
                if setup is not None and isawaitable(made := setup(dispatcher)):
                    await cast("Awaitable[object]", made)
            if self.router is not None and self.router.parent_router is None:
                dispatcher.include_router(self.router)
        except Exception as error:
            raise SettingsError(f"BEHAVIOURS: setup() of {self.name} failed: {summary(error)}") from error

    def function(self, name: str) -> Callable[..., Any] | None:
        """Return a function that the module may have."""
        return cast("Callable[..., Any] | None", getattr(self.module, name, None))


def summary(error: Exception) -> str:
    """Return what happened and in which line of the user's code, without a traceback."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {one_line(error)} ({last.filename}, line {last.lineno})"


def one_line(error: Exception) -> str:
    """Return an error's text without line breaks."""
    return " ".join(str(error).split())


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
