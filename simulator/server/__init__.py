"""Telegram's end of the wire.

Read in this order:

    server      HTTP
    wire        requests in, answers out
    telegram    one call, from its arrival to its answer
    delivery    updates on their way to webhooks
    simulation  all of it, and what a test changes while it runs
    control     the ``/_sim/`` API
"""
