"""The commands of ``tempogram``."""

from __future__ import annotations

import typer

from tempogram.bot.commands import alerts, bots, keys, plan, queue, simulator, tasks
from tempogram.bot.commands.audience import chats, selection
from tempogram.bot.commands.audience.reengagement import reengagement
from tempogram.bot.commands.audit import audit
from tempogram.bot.commands.broadcasts import commands as broadcasts
from tempogram.bot.commands.identity import tokens, users
from tempogram.bot.commands.load import load as load_command
from tempogram.bot.commands.roles import reported_errors, run_role, until_done
from tempogram.bot.commands.say import say
from tempogram.bot.commands.services import services
from tempogram.bot.config import logging
from tempogram.bot.config.process_roles import ProcessRole
from tempogram.bot.config.settings import Settings, load
from tempogram.bot.telegram.aiogram_import import import_aiogram

app = typer.Typer(
    name="tempogram",
    help="Runs many Telegram bots from one place, and never sends faster than Telegram allows.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


app.add_typer(queue.app, name="queue")
app.add_typer(services.app, name="services")
app.add_typer(alerts.app, name="alerts")
app.add_typer(broadcasts.app, name="broadcast")
app.add_typer(tasks.app, name="tasks")
app.add_typer(chats.app, name="chats")
app.add_typer(plan.app, name="plan")
app.add_typer(users.app, name="users")
app.add_typer(tokens.app, name="tokens")
app.add_typer(bots.app, name="bots")
app.add_typer(keys.app, name="keys")
app.add_typer(simulator.app, name="simulator")
app.command()(audit)
app.command()(say)
app.command()(load_command.load)
app.command()(reengagement)
app.command(name="select")(selection.select)


@app.command()
def run() -> None:
    """Run everything in one process; without BOT_TOKENS, with a simulated Telegram."""
    run_role(ProcessRole.RUN)


@app.command()
def migrate() -> None:
    """Bring the database's tables up to date."""
    from tempogram.bot.config.data_dir import database_url
    from tempogram.storage.migrations import migrate as migrate_tables
    from tempogram.storage.processes.exclusive_lock import alone_on_file

    async def alone(url: str) -> None:
        async with alone_on_file(url):
            await migrate_tables(url)

    until_done(alone(database_url(_settings())))


@app.command()
def doctor() -> None:
    """Check what a production start needs, and say how to fix what is missing; status 1 if something is."""
    import_aiogram()
    from tempogram.bot.commands.doctor.doctor import diagnose

    raise typer.Exit(diagnose())


@app.command()
def demo() -> None:
    """Run a demonstration: load, faults and a kill -9 against a simulated Telegram; a report after some 40 s."""
    from tempogram.bot.demo.runner import demo as show
    from tempogram.bot.demo.settings import DemoSettings

    raise typer.Exit(until_done(show(DemoSettings())))


@app.command()
def api() -> None:
    """Serve the API and the webhooks, beside workers (needs REDIS_URL)."""
    run_role(ProcessRole.API)


@app.command()
def worker() -> None:
    """Send messages, beside other workers (needs REDIS_URL)."""
    run_role(ProcessRole.WORKER)


@app.command()
def scheduler() -> None:
    """Poll, set webhooks and delete outdated rows, beside other processes (needs REDIS_URL)."""
    run_role(ProcessRole.SCHEDULER)


def main() -> None:
    """Run a command; an error is one sentence and status 2."""
    with reported_errors():
        app()


def _settings() -> Settings:
    settings = load()
    logging.configure(settings.log_level, settings.log_format)
    return settings
