"""``tempogram doctor``: prints what ``checks`` found."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from tempogram.bot.commands.doctor.checks import Finding, Verdict, every, read_settings
from tempogram.bot.config import logging

SIGNS = {Verdict.FINE: ("✓", "green"), Verdict.ADVICE: ("!", "yellow"), Verdict.LACKS: ("✗", "red")}


def diagnose() -> int:
    """Print every finding, and return the exit status: 1 if something is missing."""
    settings, findings = read_settings()
    if settings is not None:
        logging.configure("ERROR")  # problems are printed below
        findings += asyncio.run(every(settings))
    console = Console(highlight=False)
    for each in findings:
        _print(console, each)
    lacking = sum(each.verdict is Verdict.LACKS for each in findings)
    console.print(f"{lacking} of {len(findings)} to fix." if lacking else "Ready for a production start.")
    return 1 if lacking else 0


def _print(console: Console, finding: Finding) -> None:
    sign, style = SIGNS[finding.verdict]
    console.print(Text.assemble((sign, style), " ", (f"{finding.name:<12}", "bold"), finding.said))
    if finding.way_out:
        console.print(Padding(Text(f"→ {finding.way_out}"), (0, 0, 0, 4)))
