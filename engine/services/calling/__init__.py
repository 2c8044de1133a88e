"""One call of a service: deadline, then retries, then for each attempt its limiters, breaker, time-out and the call.

Read in this order:

    options   what one call may have of its own
    limiters  which limiters a call passes
    line      how many calls may wait
    spaced    calls begin apart while many of them fail
    endpoint  one operation as this process calls it
    attempts  one attempt, and what it says of the service
    retries   attempts until one is well, the last one failed, or the deadline came
"""
