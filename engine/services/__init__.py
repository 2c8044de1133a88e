"""Calls of other services than Telegram: one way to make them, within their limits, and with what they say of them.

A call belongs to whoever awaits it, and is not durable: no ledger and no lane knows of it.

Read in this order:

1. ``limit``, ``calls``: what a service allows, and what a call costs; ``meter``: what of a limit is used.
2. ``memory_queue``: who may call now; ``redis/``: the same for many processes; ``limiter``: to await one's place;
   ``kept_uses``: what a restart must not forget.
3. ``said``, ``answers``: what came of an attempt, and what the service says of its limits.
4. ``breaker``, ``retry_quota``: a service that fails is left alone.
5. ``catalogue`` (and ``shipped.toml``): which services there are; ``errors``; ``services``: one call, with all of it;
   ``httpx_transport``: for every request of an httpx client.
"""
