"""Services in requests and responses: what is allowed of them, and what is used of that."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, Strict

from tempogram.api.schemas.base import RequestModel, ResponseModel
from tempogram.api.schemas.fields import time_of
from tempogram.engine.cache.options import CacheOptions
from tempogram.engine.model.texts import INVISIBLE
from tempogram.engine.services.breaker import BreakerRule, BreakerState
from tempogram.engine.services.limit import CallLimit
from tempogram.engine.services.state import LimiterState, OperationState, ServiceState, WaitingCall

HOLD_S_MAX = 31 * 86_400

REASON = rf"^[^{INVISIBLE}]{{1,100}}$"
"""Without control characters and invisible ones: it is shown in terminals."""


def _not_empty(words: dict[str, Any]) -> dict[str, Any]:
    if not words:
        raise ValueError("say what to change, in the words of services.toml")
    return words


ServiceChange = Annotated[
    dict[str, Any],
    AfterValidator(_not_empty),
    Field(
        description="A table of services.toml: what it leaves out stays.",
        examples=[{"concurrency": 5, "operations": {"sms": {"count": 2}}}],
        json_schema_extra={"minProperties": 1},
    ),
]


class HoldIn(RequestModel):
    """How long nothing of a service or an operation is called."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 600, "reason": "their maintenance"}]})

    seconds: Annotated[float, Strict(), Field(ge=0.001, le=HOLD_S_MAX)]
    reason: str = Field("by hand", pattern=REASON, description="Is shown with the hold.")


class BreakerIn(RequestModel):
    """How a breaker is from now on."""

    state: Literal["open", "closed"] = Field(description="open: until it is closed by hand; closed: failures open it.")


class CallLimitOut(ResponseModel):
    """What is allowed at once; a part that is 0, or a burst that is null, does not limit."""

    count: int
    window_ms: int
    burst: int | None
    apart_ms: int
    concurrency: int

    @classmethod
    def of(cls, limit: CallLimit) -> Self:
        return cls(**{name: getattr(limit, name) for name in cls.model_fields})


class LimiterOut(ResponseModel):
    """One limiter, as all processes see it."""

    name: str = Field(examples=["twilio:sms"])
    limit: CallLimitOut
    under_way: int = Field(description="Calls that have a place.")
    waiting: int = Field(description="Calls that wait for this limiter.")
    left: int | None = Field(description="Calls, or what they cost, that may be used now; null: any number.")
    free_at: datetime | None = Field(description="When the next call may begin; null: when another one ends.")
    held_until: datetime | None
    hold: str | None = Field(examples=["until 14:32:10, said by the service"])

    @classmethod
    def of(cls, state: LimiterState) -> Self:
        return cls(
            name=state.name,
            limit=CallLimitOut.of(state.limit),
            under_way=state.under_way,
            waiting=state.waiting,
            left=state.left,
            free_at=time_of(state.free_at_ms or None),
            held_until=time_of(state.held_until_ms or None),
            hold=state.hold or None,
        )


class BreakerOut(ResponseModel):
    """Whether an operation is called, in the process that answers."""

    state: BreakerState
    open_until: datetime | None = Field(description="When calls are tried again; null: not open, or opened by hand.")
    opened_by_hand: bool

    @classmethod
    def of(cls, state: OperationState) -> Self:
        return cls(state=state.breaker, open_until=time_of(state.open_until_ms or None), opened_by_hand=state.is_forced)


class CacheOut(ResponseModel):
    """How answers are kept, in seconds."""

    ttl_s: float = Field(description="So long one is fresh.")
    early_s: float = Field(description="In so much of the end of that time it is computed anew.")
    stale_s: float = Field(description="So long after it is returned while it is computed anew.")
    stale_if_error_s: float = Field(description="So long after it is returned if computing it anew fails.")
    negative_ttl_s: float | None = Field(description="How long none, or an error, is fresh; null: ttl_s.")
    slower_than_s: float = Field(description="It is kept only if computing it took longer.")
    tags: list[str]

    @classmethod
    def of(cls, options: CacheOptions) -> Self:
        return cls(**{name: getattr(options, name) for name in cls.model_fields})


class OperationOut(ResponseModel):
    """One operation."""

    idempotent: bool
    cache: CacheOut | None = Field(description="How its answers are kept; null: each call is made.")
    limiter: LimiterOut
    tokens: LimiterOut | None = Field(description="Of what calls cost in the service's own unit.")
    breaker: BreakerOut


class ServiceOut(ResponseModel):
    """One service: what is allowed, and what is used of that now."""

    name: str
    version: int = Field(description="Each change raises it.")
    changes: dict[str, Any] = Field(description="What was changed while it ran, in the words of services.toml.")
    limiters: list[LimiterOut] = Field(description="Those of all its operations: its own, and that of all services.")
    tenant: CallLimitOut
    operations: dict[str, OperationOut]
    timeout_s: float
    deadline_s: float
    retries: int
    delay_s: float
    waiting_max: int
    throttled_codes: list[int]
    log_level: str = Field(description="debug: each step of its calls is logged.")
    breaker: dict[str, float] = Field(description="When breakers open, and for how long.")

    @classmethod
    def of(cls, state: ServiceState, changes: Mapping[str, Any]) -> Self:
        service = state.service
        return cls(
            name=service.name,
            version=service.version,
            changes=dict(changes),
            limiters=[LimiterOut.of(each) for each in state.limiters],
            tenant=CallLimitOut.of(service.tenant),
            operations={name: _operation(state, name) for name in state.operations},
            timeout_s=service.timeout_s,
            deadline_s=service.deadline_s,
            retries=service.retries,
            delay_s=service.delay_s,
            waiting_max=service.waiting_max,
            throttled_codes=list(service.throttled_codes),
            log_level=service.log_level,
            breaker={name: getattr(service.breaker, name) for name in BreakerRule.__slots__},
        )


def _operation(state: ServiceState, name: str) -> OperationOut:
    seen = state.operations[name]
    limiter, *tokens = map(LimiterOut.of, seen.limiters)
    rules = state.service.operations[name]
    return OperationOut(
        idempotent=rules.is_idempotent,
        cache=None if rules.cache is None else CacheOut.of(rules.cache),
        limiter=limiter,
        tokens=tokens[0] if tokens else None,
        breaker=BreakerOut.of(seen),
    )


class OperationSummary(ResponseModel):
    """An operation in a list."""

    count: int
    window_ms: int
    left: int | None = Field(description="Calls that may be made now; null: any number.")
    tokens_left: int | None = Field(description="null: it has no limit of tokens.")
    under_way: int
    waiting: int
    hold: str | None
    breaker: BreakerState

    @classmethod
    def of(cls, state: OperationState) -> Self:
        own, *tokens = state.limiters
        return cls(
            count=own.limit.count,
            window_ms=own.limit.window_ms,
            left=own.left,
            tokens_left=tokens[0].left if tokens else None,
            under_way=own.under_way,
            waiting=sum(each.waiting for each in state.limiters),
            hold=next((each.hold for each in state.limiters if each.hold), None),
            breaker=state.breaker,
        )


class ServiceSummary(ResponseModel):
    """A service in a list."""

    name: str
    under_way: int
    concurrency: int = Field(description="0: any number.")
    waiting: int = Field(description="Calls that wait for its own limit, and not for that of an operation.")
    hold: str | None
    operations: dict[str, OperationSummary]

    @classmethod
    def of(cls, state: ServiceState) -> Self:
        own = [each for each in state.limiters if each.name == state.service.name]
        return cls(
            name=state.service.name,
            under_way=sum(each.under_way for each in own),
            concurrency=state.service.limit.concurrency,
            waiting=sum(each.waiting for each in own),
            hold=next((each.hold for each in state.limiters if each.hold), None),
            operations={name: OperationSummary.of(each) for name, each in state.operations.items()},
        )


class ServicesOut(ResponseModel):
    """All services, by name."""

    services: list[ServiceSummary]


class WaitingCallOut(ResponseModel):
    """Why a call waits."""

    id: str = Field(examples=["1f2e3d4c-17"])
    operation: str = Field(examples=["twilio:sms"])
    priority: int = Field(description="0 to 9, 0 first.")
    waits_s: float
    stands_at: str = Field(description="The limiter for which it waits.", examples=["twilio"])
    ahead: int = Field(description="Calls before it at that limiter.")
    free_at: datetime | None = Field(description="When that limiter lets the next call through; null: when one ends.")
    reason: str = Field(examples=["all 10 places of twilio are taken, and 2 calls stand before it"])

    @classmethod
    def of(cls, call: WaitingCall) -> Self:
        return cls(
            id=call.call_id,
            operation=call.operation,
            priority=call.priority,
            waits_s=call.waits_ms / 1_000,
            stands_at=call.stands_at,
            ahead=call.ahead,
            free_at=time_of(call.free_at_ms or None),
            reason=call.reason,
        )


class WaitingCallsOut(ResponseModel):
    """Calls of a service that wait, those that go first first."""

    calls: list[WaitingCallOut]
