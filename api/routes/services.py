"""Shows what is called besides Telegram, with what is used of its limits; changes, holds and stops it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Invalid, Malformed, NotFound, TooLarge, error_responses
from tempogram.api.core.ports import Refusal
from tempogram.api.schemas.services import (
    BreakerIn,
    HoldIn,
    ServiceChange,
    ServiceOut,
    ServicesOut,
    WaitingCallOut,
    WaitingCallsOut,
)
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.api.usecases import services
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.services.catalogue import NAME_MAX

router = APIRouter(tags=["services"], route_class=GuardedRoute)

CALLS_MAX = 1_000

Name = Annotated[str, Path(max_length=NAME_MAX, examples=["twilio"])]
Operation = Annotated[str, Path(max_length=NAME_MAX, examples=["sms"])]
CallId = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=CALLS_MAX)]

SEEN = (NotFound, Invalid, LedgerError, BrokerUnavailable)
CHANGED = (Malformed, Refusal, TooLarge, *SEEN)


@router.get("/services", dependencies=[requires(Role.VIEWER)], responses=error_responses(BrokerUnavailable))
async def show_all(dependencies: DependenciesOf) -> ServicesOut:
    """List every service, with what is used and left of its limits."""
    return await services.show_all(dependencies)


@router.get("/services/{name}", dependencies=[requires(Role.VIEWER)], responses=error_responses(*SEEN))
async def show(name: Name, dependencies: DependenciesOf) -> ServiceOut:
    """Show one service: what is allowed, what is used of it, holds and breakers."""
    return await services.show(dependencies, name)


@router.get("/services/{name}/calls", dependencies=[requires(Role.VIEWER)], responses=error_responses(*SEEN))
async def show_calls(name: Name, dependencies: DependenciesOf, limit: Limit = 100) -> WaitingCallsOut:
    """List calls of a service that wait in any process, each with the reason."""
    calls = await dependencies.services.waiting(name, limit)
    return WaitingCallsOut(calls=[WaitingCallOut.of(each) for each in calls])


@router.get("/services/calls/{call_id}/explain", dependencies=[requires(Role.VIEWER)], responses=error_responses(*SEEN))
async def explain(call_id: CallId, dependencies: DependenciesOf) -> WaitingCallOut:
    """Explain why a call waits: at which limiter, behind how many, and until when at least."""
    return await services.explain(dependencies, call_id)


@router.patch("/services/{name}", dependencies=[requires(Role.ADMIN)], responses=error_responses(*CHANGED))
async def change(name: Name, wanted: ServiceChange, dependencies: DependenciesOf) -> ServiceOut:
    """Change what is allowed of a service, at once and for all processes, in the words of services.toml.

    What is left out stays, and what is used stays used. It outlives a restart: a change takes precedence over
    services.toml and the environment until ``DELETE /services/{name}/changes``.
    """
    return await services.change(dependencies, name, wanted)


@router.delete("/services/{name}/changes", dependencies=[requires(Role.ADMIN)], responses=error_responses(*SEEN))
async def reset(name: Name, dependencies: DependenciesOf) -> ServiceOut:
    """Return to what is shipped, in services.toml and in the environment, at once and for all processes."""
    return await services.reset(dependencies, name)


@router.delete("/services/{name}/cache", dependencies=[requires(Role.OPERATOR)], responses=error_responses(*SEEN))
async def forget(name: Name, dependencies: DependenciesOf) -> ServiceOut:
    """Forget the answers that are kept of a service, in all processes; the next calls are made."""
    return await services.forget(dependencies, name)


@router.put("/services/{name}/hold", dependencies=[requires(Role.OPERATOR)], responses=error_responses(*CHANGED))
async def hold(name: Name, wanted: HoldIn, dependencies: DependenciesOf) -> ServiceOut:
    """Call nothing of a service for a while, in any process; what is called waits. A hold that ends later stays."""
    return await services.hold(dependencies, name, None, wanted)


@router.delete("/services/{name}/hold", dependencies=[requires(Role.OPERATOR)], responses=error_responses(*SEEN))
async def release(name: Name, dependencies: DependenciesOf) -> ServiceOut:
    """End the holds of a service and of its operations, also those that the service asked for."""
    return await services.release(dependencies, name, None)


@router.put(
    "/services/{name}/operations/{operation}/hold",
    dependencies=[requires(Role.OPERATOR)],
    responses=error_responses(*CHANGED),
)
async def hold_operation(name: Name, operation: Operation, wanted: HoldIn, dependencies: DependenciesOf) -> ServiceOut:
    """Call nothing of an operation for a while, in any process; what is called waits. A hold that ends later stays."""
    return await services.hold(dependencies, name, operation, wanted)


@router.delete(
    "/services/{name}/operations/{operation}/hold",
    dependencies=[requires(Role.OPERATOR)],
    responses=error_responses(*SEEN),
)
async def release_operation(name: Name, operation: Operation, dependencies: DependenciesOf) -> ServiceOut:
    """End the hold of an operation, also one that the service asked for."""
    return await services.release(dependencies, name, operation)


@router.put("/services/{name}/breaker", dependencies=[requires(Role.OPERATOR)], responses=error_responses(*CHANGED))
async def switch_breakers(name: Name, wanted: BreakerIn, dependencies: DependenciesOf) -> ServiceOut:
    """Open or close the breakers of all operations of a service by hand, in all processes.

    While one is open its calls are refused. Opened by hand it stays open, also after a restart.
    """
    return await services.switch_breaker(dependencies, name, None, is_open=wanted.state == "open")


@router.put(
    "/services/{name}/operations/{operation}/breaker",
    dependencies=[requires(Role.OPERATOR)],
    responses=error_responses(*CHANGED),
)
async def switch_breaker(
    name: Name, operation: Operation, wanted: BreakerIn, dependencies: DependenciesOf
) -> ServiceOut:
    """Open or close the breaker of one operation by hand, in all processes."""
    return await services.switch_breaker(dependencies, name, operation, is_open=wanted.state == "open")
