"""Calls of other services than Telegram: one way to make them, within their limits, and with what they say of them.

A call belongs to its caller, and is not durable: no ledger and no lane knows of it.

Read in this order:

    limit            what a service allows
    calls            what a call costs, and where it stands
    meter            what of a limit is used
    memory_queue     which call may begin now
    redis/           the same for many processes
    kept_uses        what a restart must not forget
    limiter          awaits the places of a call
    said             what a service says of its limits
    answers          what came of an attempt
    breaker          leaves an operation alone that fails
    retry_quota      bounds how often a failing service is asked again
    estimates        what a call may cost at the most of which the cost is only expected
    errors           what a call may raise besides its own errors
    catalogue        which services there are; ``shipped.toml`` has those that need not be declared
    services         one call, with all of it
    state            what is seen of a service from outside
    httpx_transport  the same for every request of an httpx client
"""
