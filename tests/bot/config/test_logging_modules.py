"""What a user's module logs appears as it was set, in a process of its own, since logging is the process's."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import structlog

from tempogram.bot.behaviours import own
from tempogram.bot.config.logging import LogFormat, configure
from tempogram.bot.telegram.aiogram_import import import_aiogram
from tests.bot.fakes import TOKEN
from tests.forked import run_forked

MODULE = """
import logging
from aiogram import Router
router = Router()
log = logging.getLogger(__name__)

{top}

def setup(dispatcher):
    {setup}

def work():
    {work}
"""


def lines_of(directory: Path, *, top: str = "", setup: str = "pass", work: str, level: str = "INFO") -> list[str]:
    """Run a module under the program's logging, and return the lines on standard error."""
    (directory / "shop.py").write_text(MODULE.format(top=top, setup=setup, work=work))
    (directory / "prices.py").write_text("import logging\nlog = logging.getLogger('prices')\n")
    status, _, errors = run_forked(directory, works, [level])
    assert status == 0, errors
    return errors.splitlines()


def works() -> None:
    """Be the program as far as logging goes, and let the module work."""
    import_aiogram()
    from aiogram import Dispatcher

    configure(sys.argv[1], LogFormat.JSON, own=("shop",))
    (behaviour,) = own.load(("shop",))
    asyncio.run(behaviour.set_up(Dispatcher()))
    behaviour.module.work()
    structlog.get_logger().info("started")


def events_of(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def test_the_lines_of_a_module_and_of_those_that_it_imports_follow_the_level(tmp_path: Path) -> None:
    work = "import prices; log.debug('d'); log.info('sold %s', 7); prices.log.info('cheap'); logging.info('by itself')"

    events = events_of(lines_of(tmp_path, work=work))

    assert [(each.get("logger"), each["level"], each["event"]) for each in events] == [
        ("shop", "info", "sold 7"),
        ("prices", "info", "cheap"),
        ("root", "info", "by itself"),
        (None, "info", "started"),
    ]


def test_a_higher_level_leaves_them_out(tmp_path: Path) -> None:
    events = events_of(lines_of(tmp_path, work="log.info('sold'); log.warning('sold out')", level="WARNING"))

    assert [each["event"] for each in events] == ["sold out"]


def test_libraries_stay_at_warning_unless_their_level_was_set(tmp_path: Path) -> None:
    library = "logging.getLogger('aiogram.event').{0}; logging.getLogger('sqlalchemy.engine').{0}"
    logged = library.format("info('quiet')") + "; " + library.format("warning('loud')")
    work = (
        f"{logged}; logging.getLogger('aiogram').setLevel('INFO'); logging.getLogger('aiogram.event').info('asked for')"
    )

    events = events_of(lines_of(tmp_path, work=work))

    assert [each["event"] for each in events] == ["loud", "loud", "asked for", "started"]


def test_an_installed_library_that_is_not_known_by_name_stays_at_warning(tmp_path: Path) -> None:
    work = "import structlog; exec(compile(\"log.info('x'); log.warning('y')\", structlog.__file__, 'exec'))"

    events = events_of(lines_of(tmp_path, work=work))

    assert [each["event"] for each in events] == ["y", "started"]


def test_basic_config_of_a_module_is_kept(tmp_path: Path) -> None:
    top = "logging.basicConfig(level=logging.DEBUG, format='%(levelname)s mine: %(message)s')"

    *lines, started = lines_of(tmp_path, top=top, work="log.debug('sold')")

    assert lines == ["DEBUG mine: sold"]
    assert json.loads(started)["event"] == "started"


def test_basic_config_in_setup_is_kept(tmp_path: Path) -> None:
    setup = "logging.basicConfig(level=logging.DEBUG, format='mine: %(message)s')"

    lines = lines_of(tmp_path, setup=setup, work="log.debug('sold')")

    assert lines[0] == "mine: sold"


def test_a_dict_config_of_a_module_is_kept(tmp_path: Path) -> None:
    top = """
import logging.config
logging.config.dictConfig({
    "version": 1,
    "formatters": {"mine": {"format": "mine: %(message)s"}},
    "handlers": {"file": {"class": "logging.FileHandler", "filename": "shop.log", "formatter": "mine"}},
    "root": {"level": "DEBUG", "handlers": ["file"]},
    "disable_existing_loggers": False,
})
"""

    lines = lines_of(tmp_path, top=top, work="log.debug('sold')")

    assert (tmp_path / "shop.log").read_text() == "mine: sold\n"
    assert [each["event"] for each in events_of(lines)] == ["started"]


def test_a_level_and_a_handler_of_one_logger_are_kept_beside_ours(tmp_path: Path) -> None:
    top = "log.setLevel('DEBUG'); log.addHandler(logging.FileHandler('shop.log'))"

    events = events_of(lines_of(tmp_path, top=top, work="log.debug('sold')"))

    assert (tmp_path / "shop.log").read_text() == "sold\n"
    assert [each["event"] for each in events] == ["sold", "started"]


def test_structlog_of_a_module_works_as_ours_and_as_it_is_configured(tmp_path: Path) -> None:
    work = "import structlog; structlog.get_logger().info('sold', price=7)"
    mine = "import structlog, sys; structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr), "
    mine += "processors=[structlog.processors.KeyValueRenderer()])"

    ours = events_of(lines_of(tmp_path, work=work))
    theirs = lines_of(tmp_path, top=mine, work=work)

    assert [(each["event"], each.get("price")) for each in ours] == [("sold", 7), ("started", None)]
    assert theirs == ["price=7 event='sold'", "event='started'"]


def test_a_token_in_a_modules_line_is_hidden(tmp_path: Path) -> None:
    lines = lines_of(
        tmp_path, top=f"log.info('at import %s', {TOKEN!r})", work=f"log.info('sold', extra={{'t': {TOKEN!r}}})"
    )

    assert [each["event"] for each in events_of(lines)] == ["at import 42:…", "sold", "started"]
    assert TOKEN.partition(":")[2] not in "".join(lines)
