"""A simulated week of each preset on 50,000 items of 1,000 users: calls against the budget, and how old the data is.

Question    How many calls a day does each preset of watches make, is the budget ever exceeded, and how old is what is
            known, of all items and of those that users look at?
Workload    50,000 items of 1,000 users, of whom 70 % are active and view 5 items a day; 60,000 calls in any 24 hours
            are allowed. A week after a week of warm-up, in virtual time, by the same rules as the program; and once
            more with so small a budget (10,000) that most presets want more.
Measured    Calls on each day, most calls in any 24 hours, ages at the end of each hour and at each view.
Checked     No 24 hours have more calls than the budget; spread asks for each item each day; priority makes 2,400.

    python -m bench.watches.week              prints the table
    python -m bench.watches.week --write      writes it and its plot into docs/, too
    ITEMS=2000 USERS=40 python -m bench.watches.week
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.harness import Checks, main
from bench.watches.plot import lines
from tempogram.bot.commands.watch_plan import HEADINGS, cells
from tempogram.engine.model.watches import WatchRules
from tempogram.engine.watches.decisions import Decision, decisions
from tempogram.engine.watches.simulation import Numbers

DOCS = Path(__file__).parents[2] / "docs"

BUDGET_A_ITEM = 1.2
SMALL_BUDGET_A_ITEM = 0.2

UNIT = "median at each hour of the week, logarithmic; lower is fresher"


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing is broken on purpose
    numbers = numbers_of_environment()
    enough = run(checks, numbers)
    print(text := table(enough, numbers))
    small = replace(numbers, budget=round(numbers.items * SMALL_BUDGET_A_ITEM))
    scarce = run(checks, small)
    print(scarce_text := table(scarce, small))
    if "--write" in sys.argv:
        write(enough, text, scarce_text)


def numbers_of_environment() -> Numbers:
    items = int(os.getenv("ITEMS", "50000"))
    return Numbers(items=items, users=int(os.getenv("USERS", "1000")), budget=round(items * BUDGET_A_ITEM))


def run(checks: Checks, numbers: Numbers) -> list[Decision]:
    found = list(decisions(numbers, WatchRules()))
    for each in found:
        most = each.measured.most_in_a_day
        checks.that(most <= numbers.budget, f"{each.name}: {most:,} calls in 24 h of {numbers.budget:,}")
    if numbers.budget >= numbers.items:
        daily = found[0].measured.calls
        checks.that(set(daily) == {numbers.items}, f"spread asks for each item each day: {daily}")
        hourly = found[4].measured.calls
        checks.that(set(hourly) == {min(2_400, 24 * numbers.items)}, f"priority makes 2,400 calls a day: {hourly}")
    return found


def table(found: Sequence[Decision], numbers: Numbers) -> str:
    """Return the table in markdown."""
    head = [f"| {' | '.join(HEADINGS)} |", "| --- |" + " ---: |" * (len(HEADINGS) - 2) + " --- |"]
    rows = [f"| {' | '.join(cells(each, numbers))} |" for each in found]
    title = f"{numbers.items:,} items, {numbers.users:,} users, {numbers.budget:,} calls a day are allowed:"
    return "\n".join([title, "", *head, *rows, ""])


def write(found: Sequence[Decision], *tables: str) -> None:
    """Write the tables into docs/watches.md, and the plot beside it."""
    page = DOCS / "watches.md"
    between = "<!-- week -->\n" + "\n".join(tables) + "<!-- end of week -->"
    page.write_text(
        re.sub(r"<!-- week -->.*<!-- end of week -->", lambda _: between, page.read_text(), flags=re.DOTALL)
    )
    ages = {each.name: each.measured.ages_h for each in found}
    plot = lines("Age of what is known of all watched items", UNIT, ages, points_a_day=24)
    (DOCS / "watches-week.svg").write_text(plot)


if __name__ == "__main__":
    main(__doc__.splitlines()[0], bench)
