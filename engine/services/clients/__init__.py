"""Clients of HTTP: every request of one is a call of a service, and whatever is built on it passes unchanged.

A client of aiohttp has a middleware in ``bot/embedding``: only that floor may import it.

Read in this order:

    http_requests    what a request is as a call, whichever client makes it
    token_usage      what an answer of a model says that it cost
    httpx_transport  a transport for httpx and httpx2
"""
