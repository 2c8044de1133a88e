"""Which log lines there are, and their format: one event a line, with fields. Lines of the standard library, too."""

from __future__ import annotations

import logging
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tempogram.api.core.redaction import without_tokens

LIBRARIES = ("aiogram", "aiohttp", "aiosqlite", "alembic", "asyncio", "redis", "sqlalchemy", "uvicorn")
"""Those that write at each update or query; others are recognised by where they lie, line by line."""

LOGGING_FRAMES = 4
"""structlog's between a line of ours and the standard logger, so that a record names our line."""

INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
"""The folders of Python's own modules and of installed ones."""


class LogFormat(StrEnum):
    """How a process shows what it does. ``AUTO``: by whether it runs on a terminal."""

    AUTO = "auto"
    CONVERSATION = "conversation"
    JSON = "json"
    CONSOLE = "console"


class Handler(logging.StreamHandler[TextIO]):
    """Writes what modules log through the standard library."""


class LibraryFilter(logging.Filter):
    """Drops what installed libraries log below WARNING, unless the user set a level for their loggers.

    Args:
        own: The top-level packages of a user's modules, which may be installed, too.
    """

    def __init__(self, own: Iterable[str] = ()) -> None:
        super().__init__()
        self._own = frozenset(own)

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or _has_level(record.name) or not self._is_library(record.pathname)

    def _is_library(self, path: str) -> bool:
        folders = [folder for folder in INSTALLED if path.startswith(folder + os.sep)]
        return bool(folders) and self._is_others(path, max(folders, key=len))  # site-packages may lie inside of stdlib

    def _is_others(self, path: str, folder: str) -> bool:
        return path[len(folder) + 1 :].partition(os.sep)[0].removesuffix(".py") not in self._own


def configure(
    level: str,
    log_format: LogFormat = LogFormat.AUTO,
    *,
    stream: TextIO | None = None,
    shows: Callable[[Mapping[str, Any]], bool] | None = None,
    own: Iterable[str] = (),
) -> None:
    """Log to standard error, in every process the same way; called once, before a user's modules are loaded.

    What a module of the user's logs follows ``level``; installed libraries are at WARNING.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        log_format: ``AUTO``: coloured on a terminal, as JSON elsewhere; ``CONVERSATION``: as ``CONSOLE``, and shorter.
        stream: Gets one write for each line instead of standard error.
        shows: Tells of an event whether it is shown in another way, and needs no line.
        own: The top-level packages of a user's modules.
    """
    output = stream or sys.stderr
    is_json = log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not output.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso")
        if log_format is not LogFormat.CONVERSATION
        else structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.processors.format_exc_info,
        conceal,
    ]
    renderer: list[Processor] = (
        [structlog.processors.JSONRenderer()] if is_json else [printable, _console_renderer(output)]
    )
    structlog.configure(
        processors=[*shared, *([] if shows is None else [_dropping(shows)]), *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(output),
    )
    handler = Handler(output)
    handler.addFilter(LibraryFilter(own))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *shared],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


@contextmanager
def open_to_modules() -> Iterator[None]:
    """Let a user's module configure logging in this block, as it would in a program of its own.

    ``logging.basicConfig`` does nothing where there is a handler, so ours steps aside, and stays there if the root
    logger has one of the module's afterwards. Until then it gets every line all the same.
    """
    root, last_resort = logging.getLogger(), logging.lastResort
    ours = [handler for handler in root.handlers if isinstance(handler, Handler)]
    for handler in ours:
        root.removeHandler(handler)
        logging.lastResort = handler
    try:
        yield
    finally:
        logging.lastResort = last_resort
        if not root.handlers:
            root.handlers[:] = ours


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
    migrations = logging.getLogger("alembic")
    if migrations.level == logging.NOTSET:  # it would write a line for each table, at each start
        migrations.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(silent)
        if structlog.get_config()["processors"] is processors:  # else the program has configured it meanwhile
            structlog.reset_defaults()


def _as_line(_: WrappedLogger, __: str, event: EventDict) -> tuple[tuple[str], dict[str, int]]:
    """Return the arguments of the standard logger for an event.

    >>> _as_line(None, "info", {"event": "started", "bots": 2})
    (('started bots=2',), {'stacklevel': 4})
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


def printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    r"""Replace what a terminal would obey: a reason is written by a server that we do not control.

    >>> printable(None, "", {"event": "failed", "reason": "\x1b[2Jno\nroute"})
    {'event': 'failed', 'reason': '�[2Jno\nroute'}
    """
    return {name: _printable(value) if isinstance(value, str) else value for name, value in event.items()}


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "�" for sign in text)


def _console_renderer(output: TextIO) -> Processor:
    has_colours = output.isatty() and not os.environ.get("NO_COLOR")
    return structlog.dev.ConsoleRenderer(colors=has_colours, exception_formatter=structlog.dev.plain_traceback)


def _dropping(shows: Callable[[Mapping[str, Any]], bool]) -> Processor:
    def drop(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if shows(event):
            raise structlog.DropEvent
        return event

    return drop


def _has_level(name: str) -> bool:
    """Tell whether a logger, or one above it but the root, has a level of its own."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None and logger.parent is not None:
        if logger.level:
            return True
        logger = logger.parent
    return False


def _concealed(value: object) -> object:
    """Return a value that a renderer may write; a value with a token inside becomes text without it."""
    if isinstance(value, str):
        return without_tokens(value)
    if value is None or isinstance(value, int | float):
        return value
    written = repr(value)
    blotted = without_tokens(written)
    return value if blotted == written else blotted
