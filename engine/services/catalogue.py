"""Which services there are, and what is allowed of each: declared, checked, changed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from tempogram.engine.cache.options import CacheOptions, options_of
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.breaker import BreakerRule
from tempogram.engine.services.limit import WORDS, CallLimit, limit_of
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

RESERVED = ("telegram", "queue", "default")
"""Names that no service may have: their settings mean something else."""

ALL = "all"
"""Of no calls of its own: its limit is over all services together."""

NAME_MAX = 64

CODE_MAX = 1_000_000_000
"""The largest error code of a service."""

LOG_LEVELS = ("debug", "info")

SHIPPED = Path(__file__).parent / "shipped.toml"

_LIMIT_WORDS = (*CallLimit.__slots__, *WORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One way to call a service.

    Attributes:
        limit: Its own; that of its service holds besides it.
        tokens: A second one, of what a call costs in the service's own unit: tokens of a model.
        is_idempotent: A second call does no harm, so one that may have been carried out is tried again.
        is_open: Its breaker is open until it is closed by hand: nothing is called.
        cache: How its answers are kept; None: they are not.
    """

    limit: CallLimit = field(default_factory=CallLimit)
    tokens: CallLimit = field(default_factory=CallLimit)
    is_idempotent: bool = False
    is_open: bool = False
    cache: CacheOptions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service; or, of the name ``ALL``, the limit over all of them.

    Attributes:
        limit: Over all its operations.
        tenant: Of each tenant that a call names.
        operations: By name; a call of another one is refused.
        timeout_s: Of one attempt.
        deadline_s: Of a call with all its attempts and waiting.
        retries: After the first attempt.
        delay_s: Before the first retry at the most; doubled for each further one.
        waiting_max: Calls that may wait, in one process.
        when_full: ``refuse`` a call while so many wait, or ``wait`` until there is room.
        log_level: ``debug``: each step of its calls is an event of the log; ``info``: none is.
        throttled_codes: Values of an error's ``code`` that mean the same as a 429.
    """

    name: str
    limit: CallLimit = field(default_factory=CallLimit)
    tenant: CallLimit = field(default_factory=CallLimit)
    operations: Mapping[str, Operation] = field(default_factory=dict)
    timeout_s: float = 30.0
    deadline_s: float = 120.0
    retries: int = 3
    delay_s: float = 1.0
    waiting_max: int = 10_000
    when_full: str = "refuse"
    log_level: str = "info"
    breaker: BreakerRule = field(default_factory=BreakerRule)
    throttled_codes: tuple[int, ...] = ()
    version: int = 1

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.operations and self.name != ALL:
            raise SettingsError(f"service {self.name} has no operation; declare one under operations")
        number("timeout_s", self.timeout_s, SECONDS_MIN, SECONDS_MAX)
        number("deadline_s", self.deadline_s, SECONDS_MIN, SECONDS_MAX)
        number("delay_s", self.delay_s, 0, DELAY_S_MAX)
        whole_number("retries", self.retries, 0, RETRIES_MAX)
        whole_number("waiting_max", self.waiting_max, 1, 1_000_000)
        one_of("when_full", self.when_full, FULL)
        one_of("log_level", self.log_level, LOG_LEVELS)


def check_name(name: str) -> None:
    """Refuse a name that no service may have.

    Raises:
        SettingsError: It is reserved, or no name.
    """
    if name in RESERVED:
        raise SettingsError(f"no service may be called {name}: that name has another meaning in the settings")
    _check_letters(name, "a service")


def _check_letters(name: str, of: str) -> None:
    if not name.replace("_", "").replace("-", "").isalnum() or not name.isascii() or len(name) > NAME_MAX:
        raise SettingsError(
            f"{name!r} is no name of {of}; use up to {NAME_MAX} letters, digits, underscores and hyphens"
        )


def shipped() -> dict[str, Service]:
    """Return the services that are known without being declared, by name."""
    return parse(SHIPPED.read_text(encoding="utf-8"), SHIPPED.name)


def parse(
    text: str, where: str, base: Mapping[str, Service] | None = None, *, window_ms: int = 0
) -> dict[str, Service]:
    """Return the services of a ``services.toml``, by name.

    Args:
        text: TOML.
        where: The file, for errors.
        base: Services that are known already; what a table leaves out is as there.
        window_ms: Of a count without a window.

    Raises:
        SettingsError: It is no TOML, or something in it makes no sense; it says what, and where.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where} is no TOML: {error}") from None
    services = {}
    for name, table in tables.items():
        try:
            services[name] = service_of(name, table, (base or {}).get(name), window_ms=window_ms)
        except SettingsError as error:
            raise SettingsError(f"{where}, [{name}]: {error}") from None
    return services


def service_of(name: str, table: Any, base: Service | None = None, *, window_ms: int = 0) -> Service:
    """Return a service from its table; what the table leaves out is as in ``base``."""
    if not isinstance(table, Mapping):
        raise SettingsError(f"{name} is {table!r}; a service is a table")
    words = dict(table)
    if name == ALL and (other := next((word for word in words if word not in _LIMIT_WORDS), None)) is not None:
        raise SettingsError(f"{other} is no part of a limit over all services; there are {', '.join(_LIMIT_WORDS)}")
    operations = dict(base.operations if base else {})
    for each, of in _table(words.pop("operations", {}), "operations").items():
        _check_letters(each, "an operation")
        operations[each] = _operation(each, of, operations.get(each), window_ms)
    given: dict[str, Any] = {"operations": operations}
    if (breaker := words.pop("breaker", None)) is not None:
        given["breaker"] = _breaker(_table(breaker, "breaker"), base.breaker if base else BreakerRule())
    if (tenant := words.pop("tenant", None)) is not None:
        given["tenant"] = limit_of(_table(tenant, "tenant"), base.tenant if base else None)
    limit = {word: words.pop(word) for word in _LIMIT_WORDS if word in words}
    given["limit"] = limit_of(limit, base.limit if base else None)
    if "throttled_codes" in words:
        given["throttled_codes"] = _codes(words.pop("throttled_codes"))
    known = {each.name for each in fields(Service)} - {"name", "version", "operations", "limit", "breaker", "tenant"}
    for word, value in words.items():
        if word not in known:
            raise SettingsError(f"{word} is no setting of a service; there are {', '.join(sorted(known))}")
        given[word] = value
    return replace(base, **given) if base else Service(name=name, **given)


def in_our_words(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words of a service's table, each of Bottleneck's replaced by ours: so two changes of one thing meet.

    >>> in_our_words({"max_concurrent": 2, "operations": {"min_time": {"min_time": 5}}})
    {'concurrency': 2, 'operations': {'min_time': {'apart_ms': 5}}}

    Args:
        table: One of which ``service_of`` makes a service.
    """
    return {WORDS.get(word, word): _in_our_words(word, value) for word, value in table.items()}


def _in_our_words(word: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: in_our_words(each) for name, each in value.items()} if word == "operations" else in_our_words(value)


def declaration_of(service: Service) -> str:
    """Return what stands for a declaration: another one has another."""
    return sha256(repr(service).encode()).hexdigest()[:16]


def from_environment(service: Service, environment: Mapping[str, str]) -> Service:
    """Apply ``<SERVICE>_CONCURRENCY_LIMIT`` and ``<SERVICE>_RATE_LIMIT_WINDOW``.

    The second is in milliseconds, and of each operation that has a count.
    """
    prefix = service.name.upper().replace("-", "_")
    concurrency = _variable(environment, f"{prefix}_CONCURRENCY_LIMIT")
    window_ms = _variable(environment, f"{prefix}_RATE_LIMIT_WINDOW")
    if concurrency is not None:
        service = replace(service, limit=replace(service.limit, concurrency=concurrency))
    if window_ms is not None:
        operations = {
            name: replace(each, limit=replace(each.limit, window_ms=window_ms)) if each.limit.count else each
            for name, each in service.operations.items()
        }
        service = replace(service, operations=operations)
    return service


def variables(names: Mapping[str, Service]) -> Iterator[str]:
    """Yield the names of the environment that services have."""
    for name in names:
        prefix = name.upper().replace("-", "_")
        yield f"{prefix}_CONCURRENCY_LIMIT"
        yield f"{prefix}_RATE_LIMIT_WINDOW"


def _operation(name: str, table: Any, base: Operation | None, window_ms: int) -> Operation:
    words = dict(_table(table, name))
    base = base or Operation()
    given: dict[str, Any] = {}
    if "idempotent" in words:
        given["is_idempotent"] = _flag("idempotent", words.pop("idempotent"))
    if "breaker" in words:
        given["is_open"] = _is_open(words.pop("breaker"))
    if "cache" in words:
        given["cache"] = options_of(words.pop("cache"), base.cache)
    if "tokens" in words:
        given["tokens"] = limit_of(_table(words.pop("tokens"), "tokens"), base.tokens)
    if words:
        ours = {WORDS.get(word, word) for word in words}
        has_window = base.limit.window_ms or not window_ms or "count" not in ours or "window_ms" in ours
        given["limit"] = limit_of(words if has_window else {**words, "window_ms": window_ms}, base.limit)
    return replace(base, **given)


def _breaker(words: Mapping[str, Any], base: BreakerRule) -> BreakerRule:
    known = {each.name for each in fields(BreakerRule)}
    for word in words:
        if word not in known:
            raise SettingsError(f"{word} is no part of a breaker; there are {', '.join(sorted(known))}")
    return replace(base, **words)


def _table(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(f"{name} is {value!r}; it must be a table")
    return value


def _variable(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name, "").strip()
    if not value:
        return None
    if not value.isdecimal() or not value.isascii() or int(value) < 1:
        raise SettingsError(f"{name} is {value!r}; it must be a whole number above 0")
    return int(value)


def _codes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise SettingsError(f"throttled_codes is {value!r}; it must be a list of whole numbers")
    for code in value:
        whole_number("a code of throttled_codes", code, -CODE_MAX, CODE_MAX)
    return tuple(value)


def _is_open(value: object) -> bool:
    if value not in ("open", "closed"):
        raise SettingsError(f"breaker of an operation is {value!r}; it must be open or closed")
    return value == "open"


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{name} is {value!r}; it must be true or false")
    return value
