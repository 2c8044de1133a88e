"""The name of an entry: given by the caller, or made from the function that is called and its arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

from tempogram.engine.model.errors import SettingsError

KEY_MAX = 1_000
"""Characters of a key that a caller gives."""

PLAIN_MAX = 200
"""A longer one is replaced by its hash, as keys of Redis are read by people."""

_arguments = msgspec.msgpack.Encoder(order="deterministic")  # it tells "1", 1 and b"1" apart


C = TypeVar("C", bound=Callable[..., Any])

_STANDS_FOR = "__tempogram_stands_for__"


@dataclass(frozen=True, slots=True)
class EntryName:
    """An entry's name.

    Attributes:
        group: Entries that share a part of the memory, such as ``films:availability``; the label of a metric.
        key: Of no other entry of the group.
    """

    group: str
    key: str


def checked(key: object) -> str:
    """Return a key that a caller gave.

    >>> checked("customer:7")
    'customer:7'

    Raises:
        SettingsError: It is no text, empty, or too long.
    """
    if not isinstance(key, str) or not 0 < len(key) <= KEY_MAX:
        said = repr(key)[:PLAIN_MAX]
        raise SettingsError(f"the key of an answer is {said}; it must be a text of 1 to {KEY_MAX:,} characters")
    return key if len(key) <= PLAIN_MAX and key.isprintable() else _hash(key.encode(errors="surrogatepass"))


def of_tenant(tenant: str | None, key: str) -> str:
    """Return a key that a caller gave, which is another one for each tenant.

    >>> of_tenant(None, "customer:7"), of_tenant("acme", "customer:7"), of_tenant(None, "@'acme' customer:7")
    ('customer:7', "@'acme' customer:7", "@None @'acme' customer:7")

    Raises:
        SettingsError: It is no text, empty, or too long.
    """
    checked(key)
    return key if tenant is None and not key.startswith("@") else checked(f"@{tenant!r} {key}")


def of_call(
    function: Callable[..., Any], arguments: Sequence[Any], named: Mapping[str, Any], tenant: str | None
) -> str | None:
    """Return the key of a call; None: it cannot be said which other call is the same.

    Only what a module has under its own name does the same for equal arguments: a method has its object besides, a
    lambda or a function within a function what it was made with.

    >>> of_call(_hash, [b"tea"], {}, None) == of_call(_hash, [b"tea"], {}, None) != of_call(_hash, ["tea"], {}, None)
    True
    >>> of_call(lambda: None, [], {}, None) is of_call(_hash, [object()], {}, None) is None
    True
    """
    function = getattr(function, _STANDS_FOR, function)
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if module is None or name is None or not _is_found(function, module, name):
        return None
    try:
        given = _arguments.encode([list(arguments), dict(named), tenant])
    except (TypeError, ValueError, OverflowError, RecursionError):  # what is no value
        return None
    return f"{module}.{name}:{_hash(given)}"[-PLAIN_MAX:]


def stands_for(function: Callable[..., Any], other: C) -> C:
    """Let calls of another function have the keys of calls of this one."""
    setattr(other, _STANDS_FOR, getattr(function, _STANDS_FOR, function))
    return other


def _is_found(function: object, module: str, name: str) -> bool:
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is function


def _hash(given: bytes) -> str:
    return sha256(given).hexdigest()[:40]
