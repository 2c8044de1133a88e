"""Broadcasts as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tempogram.api.schemas.broadcasts import BroadcastOut, ForecastOut
from tempogram.bot.broadcasts import words

if TYPE_CHECKING:
    from rich.table import Table


def several(answers: Sequence[Any]) -> Table | str:
    from rich.table import Table
    from rich.text import Text

    if not answers:
        return "There is no broadcast. Make one with tempogram broadcast create; see docs/broadcasts.md."
    table = Table("id", "name", "bot", "state", "recipients", "waiting", "under way", "ended", "last one arrives")
    for answer in answers:
        each = BroadcastOut.model_validate(answer)
        more = "" if each.is_gathered or each.started_at is None else " and more"
        table.add_row(
            str(each.id),
            Text(each.name),
            each.bot,
            each.state.value,
            f"{each.recipients:,}{more}",
            f"{each.waiting:,}",
            f"{each.under_way:,}",
            _ended(each),
            words.when(each.ends_at or each.ended_at),
        )
    return table


def forecast(answer: Any) -> str:
    return words.forecast(ForecastOut.model_validate(answer))


def _ended(shown: BroadcastOut) -> str:
    paid = None if shown.stars is None else words.stars(shown.stars)
    return "\n".join(filter(None, (words.outcomes(shown.outcomes), paid, shown.problem)))
