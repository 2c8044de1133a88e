"""Shows services, and changes, holds and stops them for all processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tempogram.api.core.audit import note
from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import NotFound
from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.api.schemas.services import HoldIn, ServiceOut, ServicesOut, ServiceSummary, WaitingCallOut
from tempogram.engine.model.errors import SettingsError


async def show_all(dependencies: Dependencies) -> ServicesOut:
    services = dependencies.services
    states = await asyncio.gather(*map(services.state, services.names()))
    return ServicesOut(services=[ServiceSummary.of(state) for state in states])


async def show(dependencies: Dependencies, name: str) -> ServiceOut:
    """Show one service; raises ``UnknownService``."""
    dependencies.services.service(name)
    changes = await dependencies.changed_services.changes(name)
    return ServiceOut.of(await dependencies.services.state(name), changes)


async def change(dependencies: Dependencies, name: str, words: Mapping[str, Any]) -> ServiceOut:
    """Change what is allowed of a service, and show it.

    Raises:
        UnknownService: There is no such service, or operation.
        Refusal: The words make no sense; nothing was changed.
    """
    before = await dependencies.changed_services.changes(name)
    with _refusals():
        await dependencies.changed_services.update_limits(name, words)
    note(before=before, after=await dependencies.changed_services.changes(name))
    return await _seen(dependencies, name)


async def reset(dependencies: Dependencies, name: str) -> ServiceOut:
    note(before=await dependencies.changed_services.changes(name))
    await dependencies.changed_services.reset(name)
    return await _seen(dependencies, name)


async def forget(dependencies: Dependencies, name: str) -> ServiceOut:
    """Forget the answers of a service; raises ``UnknownService`` or ``BrokerUnavailable``."""
    await dependencies.services.forget(service=name)
    return await _seen(dependencies, name)


async def hold(dependencies: Dependencies, name: str, operation: str | None, wanted: HoldIn) -> ServiceOut:
    with _refusals():
        dependencies.services.hold(name, operation, for_ms=round(wanted.seconds * 1_000), by=wanted.reason)
    note(after={"held_for_s": wanted.seconds})
    return await _seen(dependencies, name)


async def release(dependencies: Dependencies, name: str, operation: str | None) -> ServiceOut:
    dependencies.services.release(name, operation)
    return await _seen(dependencies, name)


async def switch_breaker(dependencies: Dependencies, name: str, operation: str | None, *, is_open: bool) -> ServiceOut:
    """Open or close the breaker of an operation, or of all operations of a service."""
    changed = dependencies.changed_services
    operations = [operation] if operation is not None else list(dependencies.services.service(name).operations)
    with _refusals():
        await (changed.open_breakers if is_open else changed.close_breakers)(name, operations)
    note(after={"breaker": "open" if is_open else "closed"})
    return await _seen(dependencies, name)


async def explain(dependencies: Dependencies, call_id: str) -> WaitingCallOut:
    """Explain why a call waits; raises ``NotFound``."""
    call = await dependencies.services.explain(call_id)
    if call is None:
        raise NotFound(f"no call {short(call_id)} waits; it was made or given up, or there was none")
    return WaitingCallOut.of(call)


async def _seen(dependencies: Dependencies, name: str) -> ServiceOut:
    await dependencies.services.settled()
    return await show(dependencies, name)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise Refusal(str(error)) from None
