"""``tempogram.check_rate_limit``: whether a limit of a service holds, as a test of a program can ask it."""

from __future__ import annotations

from tempogram.bot.embedding.service_calls import services
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.checking.rate_check import Begin, CallThrough, check_limiter
from tempogram.engine.services.checking.rate_report import RateReport
from tempogram.engine.services.services import CallOptions
from tempogram.engine.services.values import SECONDS_MAX


async def check_rate_limit(
    service: str | None = None,
    operation: str | None = None,
    /,
    *,
    expected_limit: int,
    window_s: float,
    duration_s: float,
    call: CallThrough | None = None,
) -> RateReport:
    """Call as fast as it is let through for a time, and look at when each call began.

    Nothing leaves the process: what is called is a function that notes the time. The places that it takes are those of
    the operation, for all processes of the engine.

    Args:
        service: Its limits are those of the engine that runs in this program.
        operation: Of the service.
        expected_limit: Calls in any ``window_s``, wherever it begins.
        window_s: Of the limit.
        duration_s: For how long.
        call: Another limiter instead of a service: calls the function that it is given through the limiter.

    Raises:
        LimitNotHeld: An ``AssertionError``: more calls began within a window than expected, or none at all.
        SettingsError: A number makes no sense, or it is not said what to call. Nothing was called.
        RuntimeError: No engine runs in this program.
        Exception: What the limiter raised, unchanged.
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    if call is not None and service is None and operation is None:
        name, through = getattr(call, "__name__", "the limiter"), call
    elif call is None and service is not None and operation is not None:
        name, through = f"{service}:{operation}", _through(service, operation, duration_s)
    else:
        raise SettingsError("check_rate_limit takes either a service with its operation or call=, and nothing else")
    return await check_limiter(
        through, name=name, expected_limit=expected_limit, window_s=window_s, duration_s=duration_s
    )


def _through(service: str, operation: str, duration_s: float) -> CallThrough:
    async def through(begin: Begin) -> None:
        # The check ends before the deadline.
        options = CallOptions(deadline_s=min(2 * duration_s + 1, SECONDS_MAX), retries=0, when_full="wait")
        await services.call_with(options, service, operation, begin)

    return through
