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

from tempogram.bot.config.logging import conceal, configure
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
