"""Imports aiogram without building its 440 types, which pydantic then does for each when it is first used.

aiogram asks pydantic to defer them (``defer_build``), and then builds them all, since their annotations name classes
that their modules import for type checkers only. Here each module is given those names instead.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from aiogram.types.base import TelegramObject

_building = RLock()
"""Held while a class is built, which pydantic must not do in two threads: aiogram runs plain functions in others."""

_rebuild = BaseModel.__dict__["model_rebuild"].__func__


def import_aiogram() -> None:
    """Import aiogram within a quarter of the time and a third of the memory; where it is imported, nothing is done."""
    if "aiogram" in sys.modules:
        return
    with _nothing_built():
        from aiogram import types
        from aiogram.client.default import Default
        from aiogram.methods import TelegramMethod
        from aiogram.types.base import TelegramObject
    known = {name: getattr(types, name) for name in types.__all__} | {"Default": Default}
    for kind in known.values():
        if isinstance(kind, type) and issubclass(kind, TelegramObject):
            _name_types(kind, known)
    for base in (TelegramObject, TelegramMethod):
        base.model_rebuild = classmethod(_built_alone)  # type: ignore[method-assign, assignment]
    TelegramObject.__init_subclass__ = classmethod(_with_built_bases)  # type: ignore[method-assign, assignment]
    types.Message.model_rebuild()  # nearly all are in it: from here on any other takes milliseconds


@contextmanager
def _nothing_built() -> Iterator[None]:
    """Leave aiogram's types as they are when aiogram has them built."""
    BaseModel.model_rebuild = classmethod(_left_for_later)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        BaseModel.model_rebuild = classmethod(_rebuild)  # type: ignore[method-assign, assignment]


def _left_for_later(cls: type[BaseModel], /, **options: Any) -> bool | None:
    if cls.__module__.startswith("aiogram.types."):
        return None
    return _deeper(cls, **options)


def _name_types(kind: type[BaseModel], known: dict[str, Any]) -> None:
    """Give the module of a class the names in its annotations, and in those that it inherits."""
    module = vars(sys.modules[kind.__module__])
    annotations = [str(each) for base in kind.__mro__ for each in vars(base).get("__annotations__", {}).values()]
    for name in known.keys() & re.findall(r"\w+", " ".join(annotations)):
        module.setdefault(name, known[name])


def _built_alone(cls: type[BaseModel], /, **options: Any) -> bool | None:
    with _building:
        return _deeper(cls, **options)


def _deeper(cls: type[BaseModel], /, *, _parent_namespace_depth: int = 2, **options: Any) -> bool | None:
    """Rebuild a class: pydantic looks for names in the frame that asks for it, which is two further from here."""
    rebuilt: bool | None = _rebuild(cls, _parent_namespace_depth=_parent_namespace_depth + 2, **options)
    return rebuilt


def _with_built_bases(cls: type[TelegramObject], /, **options: Any) -> None:
    """Build what a class of another module is derived from: that module does not have the names in its annotations."""
    from aiogram.types.base import TelegramObject as Derived

    for base in cls.__bases__:
        if issubclass(base, Derived):
            base.model_rebuild()
    super(Derived, cls).__init_subclass__(**options)
