"""The budgets that tasks use: what services allow of their operations, and whether they are named right."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from tempogram.bot.tasks.shortage import TELEGRAM
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.scheduler.plan import Budget
from tempogram.engine.scheduler.task import Task
from tempogram.engine.services.catalogue import ALL, Service
from tempogram.engine.services.limit import CallLimit

CALLS_MAX = 1_000_000


def budgets_of(services: Mapping[str, Service]) -> dict[str, Budget]:
    """Return the counts of all services and operations, by name: ``x:mentions``, and ``x`` of all its operations."""
    found: dict[str, Budget] = {}
    for service in services.values():
        limits = {service.name: service.limit} if service.name != ALL else {}
        limits |= {f"{service.name}:{name}": each.limit for name, each in service.operations.items()}
        found |= {name: _budget(name, limit) for name, limit in limits.items() if limit.count}
    return found


def check_uses(tasks: Iterable[Task], services: Mapping[str, Service]) -> None:
    """Refuse a task that uses what there is not.

    Raises:
        SettingsError: One sentence that names the task, and what there is.
    """
    for task in tasks:
        for name, calls in task.uses.items():
            if isinstance(calls, bool) or not isinstance(calls, int) or not 1 <= calls <= CALLS_MAX:
                raise SettingsError(
                    f"task {task.name} uses {calls!r} calls of {name}; "
                    f"it must be a whole number from 1 to {CALLS_MAX:,}"
                )
            if name != TELEGRAM:
                check_named(f"task {task.name}", name, services, besides={TELEGRAM})


def check_named(user: str, name: str, services: Mapping[str, Service], *, besides: Collection[str] = ()) -> None:
    """Refuse the name of a service, or of an operation behind a colon, that there is not.

    Args:
        user: What uses it, as it stands in the sentence.
        name: ``x``, or ``x:mentions``.
        services: By name.
        besides: Names that are no services, and may be used.

    Raises:
        SettingsError: One sentence that says what there is.
    """
    service, sign, operation = name.partition(":")
    if service not in services or service == ALL:
        known = ", ".join(sorted(services.keys() - {ALL} | set(besides)))
        raise SettingsError(f"{user} uses {name}, but there is no service {service!r}; declared are {known}")
    if sign and operation not in services[service].operations:
        known = ", ".join(services[service].operations) or "none"
        raise SettingsError(f"{user} uses {name}, but {service} has no operation {operation!r}; it has {known}")


def _budget(name: str, limit: CallLimit) -> Budget:
    return Budget(name=name, count=limit.count, window_ms=limit.window_ms)
