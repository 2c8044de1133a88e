"""The format of log lines: one event a line, with fields. Logs of the standard library have it, too."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tempogram.api.core.redaction import without_tokens


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
