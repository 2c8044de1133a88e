"""One call of a service: deadline, then retries, then for each attempt its limiters, breaker, time-out and the call.

Read in this order:

    options          what one call may have of its own
    limiters         which limiters a call passes
    line             how many calls may wait
    spaced           calls begin apart while many of them fail
    throttled_pause  how long a 429 that says nothing holds
    retry_quota      bounds how often a failing service is asked again
    estimates        what a call may cost at the most of which the cost is only expected
    endpoint         one operation as this process calls it
    cached           which calls may be answered without being made
    steps            each step of a call as an event of the log
    attempts         one attempt, and what it says of the service
    retries          attempts until one is well, the last one failed, or the deadline came
"""
