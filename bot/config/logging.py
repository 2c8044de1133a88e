"""The format of log lines: one event a line, with fields. Logs of the standard library have it, too."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tempogram.api.core.redaction import without_tokens

LOGGING_FRAMES = 3
"""structlog's between a line of ours and the standard logger, so that a record names our line."""


def configure(level: str) -> None:
    """Log to standard error: coloured on a terminal, as JSON elsewhere."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        conceal,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=max(logging.WARNING, logging.getLevelName(level)), force=True)


@contextmanager
def through_standard_logger() -> Iterator[None]:
    """Send events to the standard logger ``tempogram`` until the block ends, unless the program configured structlog.

    Its level, handlers and format are the program's. Without any, nothing is printed, as of every library.
    """
    if structlog.is_configured():
        yield
        return
    logger, silent = logging.getLogger("tempogram"), logging.NullHandler()
    processors: list[Processor] = [
        structlog.stdlib.filter_by_level,
        structlog.contextvars.merge_contextvars,
        structlog.processors.format_exc_info,
        conceal,
        _as_line,
    ]
    structlog.configure(
        processors=processors, wrapper_class=structlog.stdlib.BoundLogger, logger_factory=lambda *_: logger
    )
    logger.addHandler(silent)
    try:
        yield
    finally:
        logger.removeHandler(silent)
        if structlog.get_config()["processors"] is processors:  # else the program has configured it meanwhile
            structlog.reset_defaults()


def _as_line(_: WrappedLogger, __: str, event: EventDict) -> tuple[tuple[str], dict[str, int]]:
    """Return the arguments of the standard logger for an event.

    >>> _as_line(None, "info", {"event": "started", "bots": 2})
    (('started bots=2',), {'stacklevel': 3})
    """
    name, trace = event.pop("event"), event.pop("exception", None)
    line = " ".join([str(name), *(f"{field}={value!r}" for field, value in event.items())])
    return (line if trace is None else f"{line}\n{trace}",), {"stacklevel": LOGGING_FRAMES}


def conceal(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Hide everything that looks like a bot token, also in lines of other libraries.

    >>> conceal(None, "", {"event": "GET /bot42:abcDEF-123/getMe failed"})
    {'event': 'GET /bot42:…/getMe failed'}
    """
    return {name: _concealed(value) for name, value in event.items()}


def _concealed(value: object) -> object:
    """Return a value that a renderer may write; a value with a token inside becomes text without it."""
    if isinstance(value, str):
        return without_tokens(value)
    if value is None or isinstance(value, int | float):
        return value
    written = repr(value)
    blotted = without_tokens(written)
    return value if blotted == written else blotted
