"""The mark of a hook that runs once for the fleet, and not in each process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Hook = TypeVar("Hook", bound=Callable[..., Any])

_MARK = "_tempogram_once_for_fleet"


def once_for_fleet(hook: Hook) -> Hook:
    """Run a hook only in the process that holds the update sources; if it ends, the next one runs it again.

    For hooks of startup, shutdown, and of bots that are added or removed. It changes nothing of the function, so the
    module runs under plain aiogram, too.

    >>> @once_for_fleet
    ... async def begin_sale() -> None: ...
    >>> is_once(begin_sale), is_once(print)
    (True, False)
    """
    setattr(hook, _MARK, True)
    return hook


def is_once(hook: Callable[..., Any]) -> bool:
    """Tell whether a hook is marked."""
    return getattr(hook, _MARK, False)
