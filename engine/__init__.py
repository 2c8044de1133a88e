"""What goes out: limits, lanes, leases, retry. Knows neither Telegram's library nor HTTP nor a database.

Read in this order:

    model/          the values that travel
    limits/         the rules: how many in how long, whose turn it is
    ports/          what the engine needs of the world: broker, ledger, transport, results, changes
    dispatcher      the way in: into the ledger, then into the queue
    sending/        the way out: leases, calls, outcomes
    closing/        messages that end without being sent
    recovery/       the ledger and the queue, brought together after a failure
    failover/       Redis is away, or was emptied: its queue is rebuilt, and one process sends for all meanwhile
    resilience/     retries, batches, the circuit breaker, what is wrong just now
    observability/  metrics
    cache/          answers that are asked for often, computed once
    services/       calls of other services than Telegram, within their limits
    scheduler/      tasks at their time, each due time once
    bulk/           a function over many items, so many at once, and on after a kill
    selection/      whom a bot writes to of its own accord, and when in their own day
    watches/        what chats watch, asked for when it is due, within what its service allows
    broadcasts/     one message to many chats, in portions
    alerts/         what is wrong, said once by each channel
    brokers/        the queue in memory and in Redis
    channels/       what processes tell one another

Imports go one way: model < limits < ports < resilience < closing < recovery < sending < failover. The adapters,
``brokers`` and ``channels``, are imported by ``bot/wiring`` alone (but
for ``redis/keys``, which ``channels`` share, ``redis/requirements``, which the doctor asks, and what ``services`` share
with them: the connection and the scripts).
"""
