"""What one call may have of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tempogram.engine.cache.options import CacheOptions
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.answers import Classify
from tempogram.engine.services.calls import PRIORITIES, PRIORITY_OF
from tempogram.engine.services.limit import CONCURRENCY_MAX, COUNT_MAX, WINDOW_MS_MAX
from tempogram.engine.services.open_answer import OpenAnswer
from tempogram.engine.services.values import (
    DELAY_S_MAX,
    FULL,
    RETRIES_MAX,
    SECONDS_MAX,
    SECONDS_MIN,
    number,
    one_of,
    whole_number,
)

TENANT_MAX = 200
"""Characters; it stands in a key of Redis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What one call may have of its own; None: as its service declares.

    A value that makes no sense raises ``SettingsError``, as does a limit above what is declared, when it is called.

    Attributes:
        priority: 0 to 9, 0 first, or ``high``, ``normal``, ``low``.
        tenant: On whose behalf; each has the service's limit of a tenant.
        cost: What it probably costs in the service's own unit.
        used: Says from the answer what it cost.
        deadline_s: With all attempts and waiting.
        timeout_s: Of one attempt.
        retries: After the first attempt.
        delay_s: Before the first retry, at the most.
        concurrency: Calls of this kind at once; not above what is declared.
        count: Calls of this kind in ``window_ms``; not above what is declared.
        window_ms: Milliseconds; None: the operation's window.
        when_full: ``refuse`` it while too many calls of its service wait, or ``wait`` until there is room.
        is_idempotent: A second call does no harm.
        classify: See ``Classify``.
        may_repeat: Tells before a retry whether the function can be called again: a body may be gone.
        cache: How its answer is kept; None: as its operation declares.
        cache_key: Names what it asks for, such as ``customer:7``; None: a function of a module and its arguments do.
        keeps: Gets what was returned; while the body that it returns is open, the call keeps its places.
    """

    priority: int | str = "normal"
    tenant: str | None = None
    cost: int = 1
    used: Callable[[Any], int | None] | None = None
    deadline_s: float | None = None
    timeout_s: float | None = None
    retries: int | None = None
    delay_s: float | None = None
    concurrency: int | None = None
    count: int | None = None
    window_ms: int | None = None
    when_full: str | None = None
    is_idempotent: bool | None = None
    classify: Classify | None = None
    may_repeat: Callable[[], bool] | None = None
    cache: CacheOptions | None = None
    cache_key: str | None = None
    keeps: Callable[[Any], OpenAnswer | None] | None = None

    def __post_init__(self) -> None:
        _check_priority(self.priority)
        whole_number("cost", self.cost, 0, COUNT_MAX)
        for name, least, most in _SECONDS:
            if (seconds := getattr(self, name)) is not None:
                number(name, seconds, least, most)
        for name, least, most in _WHOLE:
            if (value := getattr(self, name)) is not None:
                whole_number(name, value, least, most)
        if self.when_full is not None:
            one_of("when_full", self.when_full, FULL)
        if self.tenant is not None and (not isinstance(self.tenant, str) or not 0 < len(self.tenant) <= TENANT_MAX):
            raise SettingsError(f"tenant is {self.tenant!r}; it must be a string of 1 to {TENANT_MAX} characters")

    @property
    def priority_number(self) -> int:
        return PRIORITY_OF[self.priority] if isinstance(self.priority, str) else self.priority

    @property
    def has_limit(self) -> bool:
        """Tell whether calls of this kind have a limit of their own."""
        return self.concurrency is not None or self.count is not None or self.window_ms is not None


_SECONDS = (
    ("deadline_s", SECONDS_MIN, SECONDS_MAX),
    ("timeout_s", SECONDS_MIN, SECONDS_MAX),
    ("delay_s", 0.0, DELAY_S_MAX),
)
_WHOLE = (
    ("retries", 0, RETRIES_MAX),
    ("concurrency", 1, CONCURRENCY_MAX),
    ("count", 1, COUNT_MAX),
    ("window_ms", 1, WINDOW_MS_MAX),
)


def _check_priority(priority: object) -> None:
    is_number = isinstance(priority, int) and not isinstance(priority, bool) and 0 <= priority < PRIORITIES
    if not is_number and not (isinstance(priority, str) and priority in PRIORITY_OF):
        raise SettingsError(f"priority is {priority!r}; it must be {', '.join(PRIORITY_OF)} or 0 to {PRIORITIES - 1}")


PLAIN = CallOptions()
