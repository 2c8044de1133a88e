"""Which limiters a call of an operation passes, and what it may ask for less than is declared."""

from __future__ import annotations

from collections.abc import Iterator

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.calling.options import CallOptions
from tempogram.engine.services.calls import Charge, Limiter
from tempogram.engine.services.catalogue import Operation, Service
from tempogram.engine.services.limit import CallLimit


def tokens_name(operation: str) -> str:
    """Return the name of the limiter of an operation's tokens: there a call costs what it turned out to cost.

    >>> tokens_name("llm:chat")
    'llm:chat/tokens'
    """
    return f"{operation}/tokens"


def service_limiter(service: Service) -> Limiter:
    return Limiter(service.name, service.limit, service.version)


def operation_limiter(service: Service, operation: str) -> Limiter:
    """Return what every call of an operation passes: even without a limit it may be held."""
    return Limiter(f"{service.name}:{operation}", service.operations[operation].limit, service.version)


def token_limiter(service: Service, operation: str) -> Limiter:
    name = tokens_name(f"{service.name}:{operation}")
    return Limiter(name, service.operations[operation].tokens, service.version)


def limiters_of(service: Service, operation: str) -> list[Limiter]:
    """Return the limiters that an operation has for itself."""
    own, tokens = operation_limiter(service, operation), token_limiter(service, operation)
    return [own] if tokens.limit.is_none else [own, tokens]


def shared_limiters(*services: Service) -> list[Limiter]:
    """Return the limiters of services that have a limit."""
    return [service_limiter(service) for service in services if not service.limit.is_none]


def tenant_limiter(service: Service, tenant: str) -> Limiter:
    return Limiter(f"{service.name}@{tenant}", service.tenant, service.version)


def option_limiter(service: Service, operation: str, options: CallOptions) -> Limiter:
    """Return the limiter of calls that ask for less than is declared.

    Raises:
        SettingsError: They ask for more.
    """
    rules = service.operations[operation]
    count, window_ms = options.count or 0, options.window_ms or 0
    if count or window_ms:
        count, window_ms = count or rules.limit.count, window_ms or rules.limit.window_ms
    if window_ms and not count:
        raise SettingsError(f"window_ms is no limit without a count, and {service.name}:{operation} has none")
    limit = CallLimit(count=count, window_ms=window_ms, concurrency=options.concurrency or 0)
    for name, declared in _declared(service, operation, rules):
        _check_not_above(limit, declared, name)
    words = f"{limit.concurrency},{limit.count},{limit.window_ms}"
    return Limiter(f"{service.name}:{operation}#{words}", limit, service.version)


def charges_of(
    service: Service, operation: str, options: CallOptions, everywhere: Service, *, tokens_cost: int
) -> tuple[Charge, ...]:
    """Return what a call costs at each of its limiters; ``everywhere`` is the limit over all services.

    Raises:
        SettingsError: The options ask for more than is declared.
    """
    limiters = shared_limiters(everywhere, service)
    if options.tenant is not None and not service.tenant.is_none:
        limiters.append(tenant_limiter(service, options.tenant))
    if options.has_limit:
        limiters.append(option_limiter(service, operation, options))
    own, *tokens = limiters_of(service, operation)
    charges = (Charge(limiter) for limiter in (*limiters, own))
    return *charges, *(Charge(limiter, tokens_cost) for limiter in tokens)


def _declared(service: Service, operation: str, rules: Operation) -> Iterator[tuple[str, CallLimit]]:
    yield service.name, service.limit
    yield f"{service.name}:{operation}", rules.limit


def _check_not_above(limit: CallLimit, declared: CallLimit, name: str) -> None:
    if 0 < declared.concurrency < limit.concurrency:
        raise SettingsError(
            f"concurrency {limit.concurrency} is above what is declared for {name}, {declared.concurrency}"
        )
    if declared.count and limit.count * declared.window_ms > declared.count * limit.window_ms:
        raise SettingsError(
            f"{limit.count} calls in {limit.window_ms} ms are more than is declared for {name}, "
            f"{declared.count} in {declared.window_ms} ms"
        )
