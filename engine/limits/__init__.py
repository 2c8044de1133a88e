"""The rules: how many messages in how long, and whose turn it is. Pure arithmetic without time of its own.

Read in this order:

    limits           the limits as versioned data
    spacing          what drains at a rate
    windows          the places of a limit, and when they are free again
    weighted_window  a window of uses that weigh differently
    aimd             a limit that a 429 lowers, and that use raises again
    fair_queue       stride scheduling: the arithmetic of turns
    pool             places that calls keep until they end, shared out among bots
    failing          when a bot whose calls fail is held, and when it is tried
    lua/             spacing, windows and weighted_window for the scripts of both queues in Redis

To add a limit (the one per user is the shortest example; look for ``user_id``):

1.  ``limits.py``: its ``Limit`` in ``Limits``. Settings: ``bot/config/settings.py``, ``.env.example``,
    ``api/schemas/limits.py``.
2.  ``model/messages.py``: what a message must tell for it; ``bot/telegram/update_context.py`` and ``composer.py`` fill
    it in, ``storage/ledger/add.py`` and ``rows.py`` keep it.
3.  ``brokers/memory/lanes.py`` and ``queue.py``: whose places they are, and that a lease takes them with all others;
    ``brokers/redis/lua/shared`` the same, ``codec.py`` hands it over;
    ``tests/engine/brokers/naive_broker.py`` judges both.
4.  ``ports/explanation.py`` and ``explain`` of both brokers: why a message waits for it.
"""
