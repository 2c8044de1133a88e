"""Which calls may be answered without being made, and under which name their answer is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from tempogram.engine.cache import keys
from tempogram.engine.cache.keys import EntryName
from tempogram.engine.cache.options import CacheOptions
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.calling.endpoint import Endpoint
from tempogram.engine.services.calling.options import CallOptions

log = structlog.get_logger()


def kept_as(
    endpoint: Endpoint,
    options: CallOptions,
    function: Callable[..., Any],
    arguments: Sequence[Any],
    named: Mapping[str, Any],
) -> tuple[EntryName, CacheOptions] | None:
    """Return the name of a call's answer and how it is kept; None: each call is made.

    Raises:
        SettingsError: The call itself asks for it, and says not what it asks for.
    """
    how = endpoint.rules.cache if options.cache is None else options.cache
    if how is None:
        return None
    if options.cache_key is not None:
        key: str | None = keys.of_tenant(options.tenant, options.cache_key)
    else:
        key = keys.of_call(function, arguments, named, options.tenant)
    if key is not None:
        return EntryName(endpoint.name, key), how
    if options.cache is not None:
        raise SettingsError(
            f"a call of {endpoint.name} cannot be kept without cache_key: only a function of a module, called with "
            "plain values, says by itself what is asked for"
        )
    if not endpoint.has_complained:
        endpoint.has_complained = True
        log.warning("call_not_cached", operation=endpoint.name, reason="it has no cache_key, nor plain arguments")
    return None
