"""Broadcasts and previews in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def several(broadcasts: Sequence[Mapping[str, Any]]) -> Table | str:
    from rich.table import Table
    from rich.text import Text

    if not broadcasts:
        return "There is no broadcast. Make one with tempogram broadcast create; see docs/broadcasts.md."
    table = Table("id", "name", "bot", "state", "recipients", "waiting", "under way", "ended", "last one arrives")
    for each in broadcasts:
        more = "" if each["is_gathered"] or each["state"] in {"draft", "cancelled"} else " and more"
        table.add_row(
            str(each["id"]),
            Text(each["name"]),
            each["bot"],
            each["state"],
            f"{each['recipients']:,}{more}",
            f"{each['waiting']:,}",
            f"{each['under_way']:,}",
            outcomes(each["outcomes"]),
            _time(each["ends_at"] or each["ended_at"]),
        )
    return table


def outcomes(counts: Mapping[str, int]) -> str:
    """Say what came of recipients.

    >>> outcomes({"sent": 1200, "dead": 0, "opted_out": 2})
    '1,200 sent, 2 opted out'
    """
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count)


def forecast(found: Mapping[str, Any]) -> str:
    lines = [f"It would go to {found['recipients']:,} chats."]
    if found["held"]:
        lines.append(f"{found['held']:,} of them are in their quiet hours, and get it after these.")
    if left_out := outcomes(found["left_out"]):
        lines.append(f"Left out: {left_out}.")
    lines.append(f"The last one arrives at {_time(found['ends_at'])}, if nothing else comes meanwhile.")
    lines.append(f"An urgent message of the bot waits at most {found['delays_urgent_ms']} ms because of it.")
    if found["stars"]:
        lines.append(f"It costs at most {found['stars']:,} Stars.")
    return "\n".join(lines)


def _time(moment: str | None) -> str:
    return "" if moment is None else f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"
