"""What a request changes, as it is written down: names, numbers and ids, and never texts or secrets.

Every request that may change something is written down, with what its endpoint notes: ``note(before=…, after=…)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

IDS_MAX = 100
"""Ids that are noted of one request."""


@dataclass(slots=True)
class Noted:
    """What was noted of a request so far."""

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


_noted: ContextVar[Noted | None] = ContextVar("noted", default=None)


def note(*, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None) -> None:
    """Note what was there, or what is there now; outside of a request it does nothing.

    Only what differs is kept of what is noted on both sides.
    """
    if (noted := _noted.get()) is not None:
        noted.before |= before or {}
        noted.after |= after or {}


@contextmanager
def noting() -> Iterator[Noted]:
    noted = Noted()
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


def difference(noted: Noted) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was noted, without what is the same before and after.

    >>> difference(Noted({"paused": False, "weight": 1}, {"paused": True, "weight": 1}))
    ({'paused': False}, {'paused': True})
    """
    same = {name for name in noted.before.keys() & noted.after.keys() if noted.before[name] == noted.after[name]}
    return _without(noted.before, same), _without(noted.after, same)


def target_of(parameters: Mapping[str, Any]) -> str:
    """Return the parameters of a path as one text.

    >>> target_of({"name": "twilio", "operation": "sms"})
    'name=twilio operation=sms'
    """
    return " ".join(f"{name}={value}" for name, value in parameters.items())


def _without(values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
