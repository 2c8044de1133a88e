"""What goes out: limits, lanes, leases, retry. Knows neither Telegram's library nor HTTP nor a database.

Read in this order:

    messages, outcomes, errors   the values that travel
    limits, gates, turns         the rules: how many in how long, whose turn it is
    adaptive                     a limit that a 429 lowers for a while
    retry                        how long a failed message waits
    ports/                       what the engine needs of the world: broker, transport, ledger, results, clock
    dispatcher, worker           the two doors to ``delivery``, which sends one message
    recoverer, reconciler, start lost leases; ledger and schedule compared; the schedule rebuilt from the ledger
    conditions                   what is wrong just now
    switched_broker, keeper      many processes: one schedule, and who stands in for it while Redis is away
    redis_health, ended          what the switch notes of the schedule in Redis, and of what it must forget
    watch, lead, candidacy       by what a keeper knows whether it leads, and in which epoch
    epoch_of_redis, _of_keeper   what it keeps in the one and in the other
    comparison, deaths           when it looks for what only the ledger has: also after a process has ended
    expiry, replacements         what ends without being sent: too late, or made needless by a newer one
    clearance                    what waits for a bot that was removed
    memory_broker                the queue of one process, on ``leases``, ``schedule``, ``lanes`` and ``doorbell``
    redis_broker                 the queue of many: the same in ``lua/``, by ``redis_scripts``, ``_wire`` and ``_keys``
    redis_results, redis_news    what processes tell one another; ``memory_results``, ``memory_news``: of one
    outbox, redis_outage         how they tell it without waiting, and go on while Redis is away
"""
