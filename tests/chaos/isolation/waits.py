"""How long messages of bots without trouble waited while others had it: from the planned instant to the arrival."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.harness import quantile
from tests.chaos.duplicates import accepted_by_key
from tests.chaos.evidence import OF_ALL_BOTS, Act, Evidence, Promised, Trouble

OWN_AFTERMATH_MS = 3_000
"""After a bot's own trouble, and after an act as long as that lasted besides: so long may the engine go easy on it.

Untuned: a longer time only judges fewer messages.
"""

PRIORITIES = ("high", "normal")
SHARE = 0.99


@dataclass(frozen=True, slots=True)
class Waits:
    """All that was judged during the acts of one kind, of one priority; infinite for what never arrived."""

    act: Act
    priority: str
    waits_ms: Sequence[float]

    @property
    def most_ms(self) -> float:
        """Return what 99 % did not exceed."""
        return quantile(self.waits_ms, SHARE)

    def __str__(self) -> str:
        half_ms = quantile(self.waits_ms, 0.5)
        return f"{self.priority} {self.most_ms:.0f} ms (half within {half_ms:.0f}, {len(self.waits_ms)} messages)"


def others_waits(evidence: Evidence) -> list[Waits]:
    """Return how long messages waited that an act did not concern, by act and priority."""
    accepted = accepted_by_key(evidence.arrivals)
    own = own_troubles(evidence.troubles)
    found: dict[tuple[Act, str], list[float]] = defaultdict(list)
    for message in evidence.promised:
        act = judged_act(message, evidence, own.get(message.bot_id, ()))
        if act is not None and message.planned_at_ms is not None:
            arrived = accepted.get(message.key)
            found[act, message.lane].append(arrived[0].at_ms - message.planned_at_ms if arrived else math.inf)
    return [Waits(act, priority, waits_ms) for (act, priority), waits_ms in sorted(found.items())]


def acts_to_judge(troubles: Sequence[Trouble]) -> list[Act]:
    """Return the kinds of acts that left some bots without trouble."""
    return sorted({each.act for each in troubles if each.act is not None} - OF_ALL_BOTS)


def judged_act(message: Promised, evidence: Evidence, own: Sequence[Trouble]) -> Act | None:
    """Return the act at Telegram's end during which a message was planned; None if it had other reasons to wait."""
    at_ms = message.planned_at_ms
    if at_ms is None or is_disturbed(at_ms, evidence) or fills_ceiling(at_ms, evidence):
        return None
    if any(holds_up(each, message, evidence) for each in own):
        return None
    acts = (each for each in evidence.troubles if each.act is not None and each.from_ms <= at_ms <= each.until_ms)
    return next((each.act for each in acts), None)


def is_disturbed(at_ms: float, evidence: Evidence) -> bool:
    """Tell whether something was done to a process or a server, from shortly before until shortly after."""
    terms = evidence.terms
    return any(
        each.from_ms <= at_ms + terms.isolated_ms and at_ms <= each.until_ms + terms.aftermath_ms
        for each in evidence.disturbances
    )


def fills_ceiling(at_ms: float, evidence: Evidence) -> bool:
    """Tell whether what several bots could not send meanwhile is sent now, and fills the ceiling of all bots."""
    several = (each for each in evidence.troubles if len(each.bot_ids) > 1)
    return any(each.until_ms < at_ms <= each.until_ms + _aftermath_ms(each) for each in several)


def holds_up(trouble: Trouble, message: Promised, evidence: Evidence) -> bool:
    """Tell whether a message may have waited for a trouble of its own, or for what that left behind."""
    assert message.planned_at_ms is not None
    over_ms = trouble.until_ms + _aftermath_ms(trouble)
    is_then = trouble.from_ms <= message.planned_at_ms + evidence.terms.isolated_ms and message.planned_at_ms <= over_ms
    return is_then and (trouble.concerns(message.bot_id, message.chat_id) or _takes_turns(trouble, message))


def _takes_turns(trouble: Trouble, message: Promised) -> bool:
    """Tell whether a message takes turns with the backlog of its own bot, which is of normal priority."""
    return message.lane == "normal" and message.bot_id in trouble.bot_ids


def _aftermath_ms(trouble: Trouble) -> float:
    lasted_ms = trouble.until_ms - trouble.from_ms if trouble.act is not None else 0.0
    return lasted_ms + OWN_AFTERMATH_MS


def own_troubles(troubles: Sequence[Trouble]) -> Mapping[int, Sequence[Trouble]]:
    own: dict[int, list[Trouble]] = defaultdict(list)
    for trouble in troubles:
        for bot_id in trouble.bot_ids:
            own[bot_id].append(trouble)
    return own
