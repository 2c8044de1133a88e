"""No token stands in any log, also not in those of libraries."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from yarl import URL

from tempogram.bot.config import logging as program_logging
from tempogram.bot.config.logging import LibraryFilter, conceal, configure, through_standard_logger
from tests.bot.fakes import TOKEN

SECRET = TOKEN.partition(":")[2]


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


@pytest.fixture
def log(errors: io.StringIO) -> Iterator[Any]:
    """Log as the program does, then as it was before."""
    root, structured = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    configure("INFO")
    yield structlog.get_logger()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**structured)


@pytest.mark.parametrize(
    "text",
    [
        f"POST /bot{TOKEN}/sendMessage failed",
        f"Cannot connect to http://127.0.0.1:8081/bot{TOKEN}/getMe",
        f"/webhook/telegram/{TOKEN}",
        f"token={TOKEN}, again {TOKEN}",
        "1:bench-token-1",
        "300:simulated-bot-3",
    ],
)
def test_a_token_is_hidden_in_a_log_line(text: str) -> None:
    event = conceal(None, "", {"event": text, "field": text})

    for blotted in event.values():
        assert SECRET not in blotted
        assert "bench-token" not in blotted
        assert "simulated-bot" not in blotted
        assert ":…" in blotted


@pytest.mark.parametrize("text", ["at 12:34:56", "http://127.0.0.1:8000/health", "2026-01-01T00:00:00Z", "chat -123"])
def test_a_text_without_a_token_stays_readable(text: str) -> None:
    assert conceal(None, "", {"event": text}) == {"event": text}


def logged(errors: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in errors.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(log: Any, errors: io.StringIO) -> None:
    log.info("sent", bot_id=42, message_id="abc")

    (line,) = logged(errors)
    assert (line["event"], line["level"], line["bot_id"]) == ("sent", "info", 42)


def test_a_token_in_an_exceptions_text_and_traceback_is_hidden(log: Any, errors: io.StringIO) -> None:
    log.error("failed", exc_info=ValueError(f"no route to /bot{TOKEN}/getMe"))

    (line,) = logged(errors)
    assert "ValueError" in line["exception"]
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize("value", [URL(f"http://t/bot{TOKEN}"), [TOKEN], {"url": TOKEN}, ValueError(TOKEN)], ids=repr)
def test_a_token_within_another_value_is_hidden(log: Any, errors: io.StringIO, value: object) -> None:
    log.warning("failed", value=value)

    assert SECRET not in errors.getvalue()


def test_a_librarys_log_has_the_same_format(log: Any, errors: io.StringIO) -> None:
    logging.getLogger("aiohttp.client").warning("no answer from %s", URL(f"http://t/bot{TOKEN}/getMe"))

    (line,) = logged(errors)
    assert line["event"] == "no answer from http://t/bot42:…/getMe"


def test_a_librarys_info_lines_are_left_out(log: Any, errors: io.StringIO) -> None:
    logging.getLogger("aiogram").info("polling")

    assert logged(errors) == []


@pytest.mark.parametrize(
    ("path", "is_logged"),
    [
        ("/py/lib/site-packages/shop/orders.py", True),
        ("/py/lib/site-packages/shop.py", True),
        ("/py/lib/site-packages/httpx/client.py", False),
        ("/py/lib/asyncio/events.py", False),
        ("/srv/shop/orders.py", True),
    ],
)
def test_an_installed_module_of_ones_own_is_no_library(
    monkeypatch: pytest.MonkeyPatch, path: str, *, is_logged: bool
) -> None:
    """In an image of Docker's python, the folder of installed packages lies inside of Python's own."""
    monkeypatch.setattr(program_logging, "INSTALLED", ("/py/lib", "/py/lib/site-packages"))
    record = logging.LogRecord("any", logging.INFO, path, 1, "sold", None, None)

    assert LibraryFilter(("shop",)).filter(record) is is_logged


@pytest.fixture
def unconfigured() -> Iterator[None]:
    """Give structlog as a program finds it that does not use it."""
    structured = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**structured)


class Lines(logging.Handler):
    """What a program's own handler would write."""

    def __init__(self, level: int = logging.INFO) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def texts(self) -> list[str]:
        return [f"{record.levelname} {record.name}: {record.getMessage()}" for record in self.records]


@pytest.fixture
def lines() -> Iterator[Lines]:
    logger, lines = logging.getLogger("tempogram"), Lines()
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(lines)
    logger.setLevel(level)


def test_events_go_where_the_programs_own_logging_goes(unconfigured: None, lines: Lines) -> None:
    with through_standard_logger():
        structlog.get_logger().info("started", role="embedded", waiting=3)
        structlog.get_logger().debug("not wanted")
        structlog.get_logger().error("failed", url=f"http://t/bot{TOKEN}/getMe", exc_info=ValueError(TOKEN))

    assert lines.texts[0] == "INFO tempogram: started role='embedded' waiting=3"
    assert len(lines.texts) == 2
    assert "ERROR tempogram: failed url='http://t/bot42:…/getMe'" in lines.texts[1]
    assert "ValueError" in lines.texts[1]
    assert SECRET not in lines.texts[1]
    assert {record.filename for record in lines.records} == {"test_logging.py"}


def test_structlog_is_as_it_was_after_the_end(unconfigured: None) -> None:
    with through_standard_logger():
        assert structlog.is_configured()

    assert not structlog.is_configured()


def test_a_program_that_configured_structlog_keeps_its_own(log: Any, errors: io.StringIO, lines: Lines) -> None:
    with through_standard_logger():
        log.info("started")

    assert [line["event"] for line in logged(errors)] == ["started"]
    assert lines.texts == []


def test_a_program_that_configures_structlog_later_keeps_its_own(unconfigured: None) -> None:
    own = [structlog.processors.JSONRenderer()]

    with through_standard_logger():
        structlog.configure(processors=own)

    assert structlog.get_config()["processors"] is own


def test_a_program_without_any_logging_prints_nothing(unconfigured: None, capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, root.handlers[:] = root.handlers[:], []
    try:
        with through_standard_logger():
            structlog.get_logger().error("failed")
    finally:
        root.handlers[:] = handlers

    assert capfd.readouterr() == ("", "")
