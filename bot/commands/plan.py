"""``tempogram plan``: what declared tasks will call, against the budgets of the services."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import typer

from tempogram.bot.tasks.budgets import budgets_of, check_uses
from tempogram.bot.tasks.declared import declared
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.scheduler.plan import Planned, plan, sentence


def planned(modules: Sequence[str]) -> int:
    """Print each budget with what tasks take of it; return the exit status, 1 if one is exceeded.

    Args:
        modules: Besides those of ``BEHAVIOURS``: those of a program with ``Tempogram()``.
    """
    from tempogram.bot.behaviours import own
    from tempogram.bot.config.environment import variables
    from tempogram.bot.config.settings import load
    from tempogram.bot.wiring.services import declared_services

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
    if not tasks:
        return ["No task is declared. Name its module in BEHAVIOURS, or behind plan."]
    if not found:
        return ["No task says what it uses of a service; write uses={'x:mentions': 1} where it is declared."]
    return [f"{'holds' if each.holds else 'EXCEEDED':9} {sentence(each)}" for each in found]
