"""Runs many Telegram bots from one place, and never sends faster than Telegram allows.

What is installed is this one package. Its folders stand at the top level of the repository and are linked
here: ``tempogram.engine`` is ``engine/``, and so on.

The public names below are imported when they are first used, so ``import tempogram`` costs nothing.
"""

from importlib import import_module
from os import path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tempogram.api.core.errors import Conflict, NotFound, NotScheduled
    from tempogram.api.core.ports import Refusal
    from tempogram.api.usecases.submissions import Submitted
    from tempogram.bot.behaviours.once import once_for_fleet
    from tempogram.bot.behaviours.watches.declared import watched
    from tempogram.bot.behaviours.watches.json_api import JsonApi
    from tempogram.bot.calls.call_options import options, priority
    from tempogram.bot.embedding.aiohttp_middleware import service_middleware
    from tempogram.bot.embedding.broadcasts import broadcast
    from tempogram.bot.embedding.bulk import map_limited
    from tempogram.bot.embedding.functions import (
        cancel,
        dead_letters,
        explain,
        find,
        send,
        state,
        stats,
        submit,
        submit_many,
    )
    from tempogram.bot.embedding.rate_checks import check_rate_limit
    from tempogram.bot.embedding.selection import Selected, select
    from tempogram.bot.embedding.service_calls import services
    from tempogram.bot.embedding.sweeps import sweep
    from tempogram.bot.embedding.tempogram import Tempogram
    from tempogram.bot.tasks.declared import cron, every
    from tempogram.engine.bulk.batches import batches
    from tempogram.engine.bulk.results import BulkCounts, BulkError, BulkItem, BulkReport, TooManyFailures
    from tempogram.engine.cache.options import CacheOptions
    from tempogram.engine.limits.limits import Limit, Limits
    from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
    from tempogram.engine.model.messages import Guarantee, Outgoing, Priority, Status
    from tempogram.engine.scheduler.sweep import SweepOverdue, Swept
    from tempogram.engine.services.answers import Verdict
    from tempogram.engine.services.checking.rate_report import LimitNotHeld, RateReport
    from tempogram.engine.services.clients.httpx_transport import ServiceTransport
    from tempogram.engine.services.clients.token_usage import total_tokens
    from tempogram.engine.services.errors import (
        CallOverdue,
        CallsFull,
        CircuitOpen,
        PlaceLost,
        ServiceError,
        UnknownService,
    )
    from tempogram.engine.services.services import CallOptions
    from tempogram.storage.ledger.memory_ledger import MemoryLedger

__all__ = [
    "BrokerUnavailable",
    "BulkCounts",
    "BulkError",
    "BulkItem",
    "BulkReport",
    "CacheOptions",
    "CallOptions",
    "CallOverdue",
    "CallsFull",
    "CircuitOpen",
    "Conflict",
    "Guarantee",
    "JsonApi",
    "LedgerError",
    "Limit",
    "LimitNotHeld",
    "Limits",
    "MemoryLedger",
    "NotFound",
    "NotScheduled",
    "Outgoing",
    "PlaceLost",
    "Priority",
    "RateReport",
    "Refusal",
    "Selected",
    "ServiceError",
    "ServiceTransport",
    "Status",
    "Submitted",
    "SweepOverdue",
    "Swept",
    "Tempogram",
    "TooManyFailures",
    "UnknownService",
    "Verdict",
    "batches",
    "broadcast",
    "cancel",
    "check_rate_limit",
    "cron",
    "dead_letters",
    "every",
    "explain",
    "find",
    "map_limited",
    "once_for_fleet",
    "options",
    "priority",
    "select",
    "send",
    "service_middleware",
    "services",
    "state",
    "stats",
    "submit",
    "submit_many",
    "sweep",
    "total_tokens",
    "watched",
]

HOMES = {
    "BrokerUnavailable": "engine.model.errors",
    "BulkCounts": "engine.bulk.results",
    "BulkError": "engine.bulk.results",
    "BulkItem": "engine.bulk.results",
    "BulkReport": "engine.bulk.results",
    "CacheOptions": "engine.cache.options",
    "CallOptions": "engine.services.services",
    "CallOverdue": "engine.services.errors",
    "CallsFull": "engine.services.errors",
    "CircuitOpen": "engine.services.errors",
    "Conflict": "api.core.errors",
    "Guarantee": "engine.model.messages",
    "JsonApi": "bot.behaviours.watches.json_api",
    "LedgerError": "engine.model.errors",
    "Limit": "engine.limits.limits",
    "LimitNotHeld": "engine.services.checking.rate_report",
    "Limits": "engine.limits.limits",
    "MemoryLedger": "storage.ledger.memory_ledger",
    "NotFound": "api.core.errors",
    "NotScheduled": "api.core.errors",
    "Outgoing": "engine.model.messages",
    "PlaceLost": "engine.services.errors",
    "Priority": "engine.model.messages",
    "RateReport": "engine.services.checking.rate_report",
    "Refusal": "api.core.ports",
    "Selected": "bot.embedding.selection",
    "ServiceError": "engine.services.errors",
    "ServiceTransport": "engine.services.clients.httpx_transport",
    "Status": "engine.model.messages",
    "Submitted": "api.usecases.submissions",
    "SweepOverdue": "engine.scheduler.sweep",
    "Swept": "engine.scheduler.sweep",
    "Tempogram": "bot.embedding.tempogram",
    "TooManyFailures": "engine.bulk.results",
    "UnknownService": "engine.services.errors",
    "Verdict": "engine.services.answers",
    "batches": "engine.bulk.batches",
    "broadcast": "bot.embedding.broadcasts",
    "cancel": "bot.embedding.functions",
    "check_rate_limit": "bot.embedding.rate_checks",
    "cron": "bot.tasks.declared",
    "dead_letters": "bot.embedding.functions",
    "every": "bot.tasks.declared",
    "explain": "bot.embedding.functions",
    "find": "bot.embedding.functions",
    "map_limited": "bot.embedding.bulk",
    "once_for_fleet": "bot.behaviours.once",
    "options": "bot.calls.call_options",
    "priority": "bot.calls.call_options",
    "select": "bot.embedding.selection",
    "send": "bot.embedding.functions",
    "service_middleware": "bot.embedding.aiohttp_middleware",
    "services": "bot.embedding.service_calls",
    "state": "bot.embedding.functions",
    "stats": "bot.embedding.functions",
    "submit": "bot.embedding.functions",
    "submit_many": "bot.embedding.functions",
    "sweep": "bot.embedding.sweeps",
    "total_tokens": "engine.services.clients.token_usage",
    "watched": "bot.behaviours.watches.declared",
}

if path.isfile(path.join(path.dirname(__file__), "api")):  # noqa: PTH113, PTH118, PTH120 - pathlib is slow to import
    raise ImportError(
        "tempogram/api is a text file where a link to ../api should be, because Git checked this repository out "
        "without symbolic links: run `git config core.symlinks true` and `git checkout -- tempogram` "
        "(on Windows with developer mode switched on), or install a released wheel"
    )


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
