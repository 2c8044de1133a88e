"""Services as tables, and why a call waits in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

HEADINGS = ("service", "operation", "used", "left", "waiting", "held until", "breaker")
NUMBERS = {"used", "left", "waiting"}


def all_services(answer: dict[str, Any]) -> Table:
    """Return all services, a line for each and one for each of its operations."""
    table = _table(*HEADINGS)
    for service in answer["services"]:
        used = _used(service["under_way"], service["concurrency"])
        table.add_row(service["name"], "", used, "", _count(service["waiting"]), _said(service["hold"]), "")
        for name, each in service["operations"].items():
            table.add_row("", name, _used_in_window(each), *_rest(each, each["breaker"]))
            if each["tokens_left"] is not None:
                table.add_row("", "  tokens", "", f"{each['tokens_left']:,}", "", "", "")
        table.add_section()
    return table


def one_service(service: dict[str, Any]) -> Table:
    """Return one service: each of its limiters, with what is allowed."""
    table = _table("limiter", "allowed", *HEADINGS[2:])
    for limiter in service["limiters"]:
        table.add_row(*_limiter(limiter, ""))
    for operation in service["operations"].values():
        table.add_row(*_limiter(operation["limiter"], _breaker(operation["breaker"])))
        if operation["tokens"] is not None:
            table.add_row(*_limiter(operation["tokens"], ""))
    changed = _words(service["changes"])
    table.caption = f"Changed while running: {', '.join(changed)}" if changed else None
    table.caption_justify = "left"
    return table


def waiting_calls(answer: dict[str, Any]) -> Table | str:
    if not answer["calls"]:
        return "No call waits."
    table = _table("call", "operation", "priority", "waits", "because")
    for each in answer["calls"]:
        table.add_row(
            each["id"], each["operation"], str(each["priority"]), f"{each['waits_s']:.1f} s", _plain(each["reason"])
        )
    return table


def service_with_calls(answer: dict[str, Any]) -> Group:
    """Return one service, and below it the first of the calls that wait: ``calls`` in the same answer."""
    from rich.console import Group

    return Group(one_service(answer), waiting_calls(answer))


def in_words(call: dict[str, Any]) -> str:
    """Explain why a call waits.

    >>> call = {"operation": "pay:charge", "waits_s": 3.04, "priority": 5, "ahead": 0, "reason": "pay is held"}
    >>> print(in_words(call | {"free_at": None}))
    A call of pay:charge has waited for 3.0 s, because pay is held.
    """
    said = f"A call of {call['operation']} has waited for {call['waits_s']:.1f} s, because {_plain(call['reason'])}."
    if call["free_at"] is None:
        return said
    return f"{said}\nIts limiter lets the next call through at {_time(call['free_at'])} at the earliest."


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table()
    for heading in headings:
        table.add_column(heading, justify="right" if heading in NUMBERS else "left", overflow="fold")
    return table


def _limiter(limiter: dict[str, Any], breaker: str) -> Iterator[str]:
    limit = limiter["limit"]
    yield limiter["name"]
    yield _allowed(limit)
    used = limiter["under_way"] if limiter["left"] is None or not limit["count"] else limit["count"] - limiter["left"]
    yield f"{max(0, used):,}"
    yield from _rest(limiter, breaker)


def _rest(seen: dict[str, Any], breaker: str) -> tuple[str, str, str, str]:
    left = "" if seen["left"] is None else f"{seen['left']:,}"
    return left, _count(seen["waiting"]), _said(seen["hold"]), breaker


def _allowed(limit: dict[str, Any]) -> str:
    """Say what a limit allows.

    >>> _allowed({"count": 15, "window_ms": 900_000, "burst": 3, "apart_ms": 0, "concurrency": 2})
    '15 in 15 min, 3 at once after a pause, 2 under way'
    >>> _allowed({"count": 0, "window_ms": 0, "burst": None, "apart_ms": 500, "concurrency": 0})
    '500 ms apart'
    """
    parts = (
        f"{limit['count']:,} in {_span(limit['window_ms'])}" if limit["count"] else "",
        f"{limit['burst']:,} at once after a pause" if limit["burst"] else "",
        f"{_span(limit['apart_ms'])} apart" if limit["apart_ms"] else "",
        f"{limit['concurrency']:,} under way" if limit["concurrency"] else "",
    )
    return ", ".join(filter(None, parts)) or "any number"


def _span(ms: int) -> str:
    """Write milliseconds in the largest unit that fits.

    >>> _span(200), _span(1_000), _span(900_000), _span(3_600_000)
    ('200 ms', '1 s', '15 min', '1 h')
    """
    for unit_ms, unit in ((3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if ms and ms % unit_ms == 0:
            return f"{ms // unit_ms:,} {unit}"
    return f"{ms:,} ms"


def _used(used: int, allowed: int) -> str:
    """Say how much of it is used.

    >>> _used(3, 10), _used(3, 0)
    ('3/10', '3')
    """
    return f"{used:,}/{allowed:,}" if allowed else f"{used:,}"


def _used_in_window(operation: dict[str, Any]) -> str:
    if not operation["count"] or operation["left"] is None:
        return _used(operation["under_way"], 0)
    return _used(max(0, operation["count"] - operation["left"]), operation["count"])


def _breaker(breaker: dict[str, Any]) -> str:
    if breaker["opened_by_hand"]:
        return "open, by hand"
    until = f" until {_time(breaker['open_until'])}" if breaker["open_until"] else ""
    return str(breaker["state"]).replace("_", " ") + until


def _words(changes: dict[str, Any], before: str = "") -> list[str]:
    """Return changes as they are typed.

    >>> _words({"retries": 1, "operations": {"sms": {"count": 2, "breaker": "open"}}})
    ['retries=1', 'operations.sms.count=2', 'operations.sms.breaker=open']
    """
    words: list[str] = []
    for name, value in changes.items():
        words += _words(value, f"{before}{name}.") if isinstance(value, dict) else [f"{before}{name}={value}"]
    return words


def _time(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S")


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _said(hold: str | None) -> str:
    """Return until when something is held, and by whom; the heading says ``held until``, so that it fits a line.

    >>> _said("until 14:32:10, said by the service")
    '14:32:10, said by the service'
    """
    return _plain((hold or "").removeprefix("until "))


def _plain(text: str) -> str:
    """Return a text without control characters: what a service says is not ours."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)
