"""``tempogram plan``: what declared tasks will call, against the budgets of the services; and what watches would.

What follows ``plan`` and is no subcommand are modules.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from tempogram.bot.telegram.aiogram_import import import_aiogram
from tempogram.engine.model.errors import SettingsError

if TYPE_CHECKING:
    from tempogram.engine.scheduler.plan import Planned

TASKS = "tasks"


class TasksUnlessNamed(TyperGroup):
    """A group whose first command is meant where none is named: ``tempogram plan MODULE``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """See ``click.Group``."""
        is_named = bool(args) and (args[0] in self.commands or args[0] in {"--help", "-h"})
        return super().parse_args(ctx, args if is_named else [TASKS, *args])


app = typer.Typer(cls=TasksUnlessNamed, help="Add up calls of services before they are made: of tasks, or of watches.")


@app.command(TASKS)
def tasks(
    modules: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODULE]...", help="Modules with tasks, besides BEHAVIOURS.", show_default=False),
    ] = None,
) -> None:
    """Add up what tasks will call of each service, and say what does not fit; status 1 if something does not."""
    import_aiogram()
    raise typer.Exit(planned(modules or []))


@app.command()
def watches(
    items: Annotated[int, typer.Option(help="Items that are watched.")] = 10_000,
    users: Annotated[int, typer.Option(help="Users that watch them.")] = 200,
    budget: Annotated[int, typer.Option(help="Calls of the service that are allowed in 24 hours.")] = 20_000,
    views: Annotated[float, typer.Option(help="Items that an active user views a day.")] = 5.0,
    active: Annotated[float, typer.Option(help="Share of users that are active.")] = 0.7,
    paid: Annotated[float, typer.Option(help="Share of users with the plan paid; the others have free.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Of chance.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,  # noqa: FBT002
) -> None:
    """Simulate a week of each preset of watches: calls against the budget, and how old what is known is."""
    from tempogram.bot.commands.watch_plan import decide, numbers_of

    numbers = numbers_of(items, users, budget, views=views, active=active, paid=paid, seed=seed)
    decide(numbers, as_json=as_json)


def planned(modules: Sequence[str]) -> int:
    """Print each budget with what tasks take of it; return the exit status, 1 if one is exceeded.

    Args:
        modules: Besides those of ``BEHAVIOURS``: those of a program with ``Tempogram()``.
    """
    from tempogram.bot.behaviours import own
    from tempogram.bot.config.environment import variables
    from tempogram.bot.config.settings import load
    from tempogram.bot.tasks.budgets import budgets_of, check_uses
    from tempogram.bot.tasks.declared import declared
    from tempogram.bot.wiring.services import declared_services
    from tempogram.engine.scheduler.plan import plan

    settings = load()
    own.load(settings.behaviours)
    _import(modules)
    services, tasks = declared_services(settings), declared(variables())
    check_uses(tasks, services)
    found = plan(tasks, budgets_of(services))
    for line in _lines(found, len(tasks)):
        typer.echo(line)
    return 0 if all(each.holds for each in found) else 1


def _import(modules: Sequence[str]) -> None:
    here = str(Path.cwd())
    if modules and here not in sys.path:
        sys.path.append(here)
    for name in modules:
        try:
            import_module(name)
        except Exception as error:
            raise SettingsError(f"{name} cannot be imported ({type(error).__name__}: {error})") from error


def _lines(found: Sequence[Planned], tasks: int) -> list[str]:
    from tempogram.engine.scheduler.plan import sentence

    if not tasks:
        return ["No task is declared. Name its module in BEHAVIOURS, or behind plan."]
    if not found:
        return ["No task says what it uses of a service; write uses={'x:mentions': 1} where it is declared."]
    return [f"{'holds' if each.holds else 'EXCEEDED':9} {sentence(each)}" for each in found]
