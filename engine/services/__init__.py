"""Calls of other services than Telegram: one way to make them, within their limits, and with what they say of them.

A call belongs to its caller, and is not durable: no ledger and no lane knows of it.

Read in this order:

    limit         what a service allows
    calls         what a call costs, and where it stands
    meter         what of a limit is used
    memory_queue  which call may begin now
    redis/        the same for many processes
    kept_uses     what a restart must not forget
    limiter       awaits the places of a call
    said          what a service says of its limits
    answers       what came of an attempt
    breaker       leaves an operation alone that fails
    errors        what a call may raise besides its own errors
    catalogue     which services there are; ``shipped.toml`` has those that need not be declared
    open_answer   keeps a call's places while its answer's body is read
    calling/      one call: its limiters, breaker, time-out, retries and deadline
    values        refuses what makes no sense
    kept_answers  keeps an answer under a key of one's own
    services      one call, with all of it
    changed       changes services while they run, for all processes and for good
    state         what is seen of a service from outside
    clients/      the same for every request of a client of HTTP
    checking/     whether a limit holds, seen from outside
"""
