"""Broadcasts and previews in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tempogram.api.schemas.broadcasts import BroadcastOut, ForecastOut, StarsOut
from tempogram.engine.model.broadcasts import Outcome
from tempogram.engine.model.selection import Reason


def outcomes(counts: Mapping[Outcome, int] | Mapping[Reason, int]) -> str:
    """Say what came of recipients.

    >>> outcomes({Outcome.SENT: 1200, Outcome.DEAD: 0, Outcome.OPTED_OUT: 2})
    '1,200 sent, 2 opted out'
    """
    return ", ".join(f"{count:,} {each.value.replace('_', ' ')}" for each, count in counts.items() if count)


def forecast(found: ForecastOut) -> str:
    """Say to how many a broadcast would go, to whom not, until when, and at what cost."""
    lines = [f"It would go to {found.recipients:,} chats."]
    if found.held:
        lines.append(f"{found.held:,} of them are in their quiet hours, and get it after these.")
    if left_out := outcomes(found.left_out):
        lines.append(f"Left out: {left_out}.")
    lines.append(f"The last one arrives at {when(found.ends_at)}, if nothing else comes meanwhile.")
    lines.append(f"An urgent message of the bot waits at most {found.delays_urgent_ms} ms because of it.")
    if found.stars:
        lines.append(f"It costs at most {found.stars:,} Stars.")
    return "\n".join(lines)


def progress(shown: BroadcastOut) -> str:
    """Say how far a broadcast is."""
    more = "" if shown.is_gathered or shown.started_at is None else " and more"
    lines = [f"Broadcast {shown.id}, {shown.name}: {shown.state.value}, {shown.recipients:,}{more} recipients."]
    if shown.waiting or shown.under_way:
        lines.append(f"{shown.waiting:,} wait, {shown.under_way:,} are in the queue.")
    if ended := outcomes(shown.outcomes):
        lines.append(f"{ended}.")
    if shown.ends_at is not None:
        lines.append(f"The last one arrives at {when(shown.ends_at)}.")
    if shown.stars is not None:
        lines.append(stars(shown.stars))
    if shown.problem is not None:
        lines.append(f"{shown.problem}.")
    return "\n".join(lines)


def stars(paid: StarsOut) -> str:
    """Say what was paid for during a broadcast.

    >>> stars(StarsOut(purse=12.5, billed=11.0, asked_at=None)), stars(StarsOut(purse=12.5, billed=None, asked_at=None))
    ('Stars: 12.5 by our purse, 11 billed.', 'Stars: 12.5 by our purse, not known what was billed.')
    """
    billed = "not known what was billed" if paid.billed is None else f"{paid.billed:,.9g} billed"
    return f"Stars: {paid.purse:,.9g} by our purse, {billed}."


def when(moment: datetime | None) -> str:
    """Return a time in this machine's zone."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
