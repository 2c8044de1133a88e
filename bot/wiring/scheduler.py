"""The scheduler, with the tasks of a user's modules and those of the engine itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog

from tempogram.bot.config.environment import variables
from tempogram.bot.tasks.budgets import budgets_of, check_uses
from tempogram.bot.tasks.declared import RESERVED, declared
from tempogram.bot.tasks.shortage import Shortage
from tempogram.bot.updates.webhook_checkup import WebhookCheckup
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.queue import Queue
from tempogram.bot.wiring.storage import Storage
from tempogram.engine.closing.eraser import ChatEraser
from tempogram.engine.model.ids import number_of
from tempogram.engine.observability.task_metrics import TaskMetrics
from tempogram.engine.scheduler.plan import plan, sentence
from tempogram.engine.scheduler.scheduler import Scheduler
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tempogram.engine.services.services import Services

log = structlog.get_logger()

HOUR_MS = 3_600_000

JITTER_MS = 60_000
"""Of what asks Telegram: programs that were started together need not ask together."""


def tasks_of(services: Services, own: Iterable[Task]) -> dict[str, Task]:
    """Return the tasks of the engine and of all modules, by name.

    Raises:
        SettingsError: The environment has an interval that makes no sense, or a task uses what there is not.
    """
    of_modules = declared(variables())
    check_uses(of_modules, {name: services.service(name) for name in services.names()})
    return {task.name: task for task in (*own, *of_modules)}


def warn_of_budgets(tasks: Iterable[Task], services: Services) -> None:
    """Say at the start which budget cannot hold, in one line each."""
    budgets = budgets_of({name: services.service(name) for name in services.names()})
    for planned in plan(tasks, budgets):
        if not planned.holds:
            log.warning("task_budget_exceeded", budget=planned.budget.name, plan=sentence(planned))


def scheduler_of(
    context: Context,
    storage: Storage,
    queue: Queue,
    services: Services,
    tasks: Mapping[str, Task],
    metrics: TaskMetrics,
) -> Scheduler:
    """Return the scheduler of a process that may run tasks."""
    warn_of_budgets(tasks.values(), services)
    return Scheduler(
        tasks.values(),
        storage.tasks,
        process=number_of(storage.process),
        clock=context.clock,
        metrics=metrics,
        is_short=Shortage(services, queue.broker.stats, clock=context.clock).of,
    )


def retention_task(storage: Storage, eraser: ChatEraser) -> Task:
    async def tidy() -> dict[str, int]:
        removed = await storage.retention.purge()
        erasures = await eraser.finish_pending()
        return removed | {f"erasures_{name}": count for name, count in erasures.items()}

    return Task(
        name=f"{RESERVED}retention",
        times=Every(HOUR_MS),
        work=tidy,
        at_start=True,
        is_idempotent=True,
        timeout_ms=HOUR_MS,
        pause_after=0,
    )


def webhooks_tasks(context: Context, checkup: WebhookCheckup) -> list[Task]:
    """Return the check-up of webhooks, where this program sets any."""
    if not context.settings.public_url or context.role.is_embedded:
        return []
    return [
        Task(
            name=f"{RESERVED}webhooks",
            times=Every(HOUR_MS),
            work=checkup.run,
            jitter_ms=JITTER_MS,
            is_idempotent=True,
            timeout_ms=HOUR_MS,
            pause_after=0,
        )
    ]
