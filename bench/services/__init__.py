"""What the calls of services promise, shown against servers that count by themselves.

The strict server is ``tempogram.simulator.services``.

Read in this order:

    strict_client    a process that calls it through ``Services``
    processes        starts and ends both
    shipped_limits   is a limit ever broken, and how much of it is used?
    foreign_client   what if another client eats half of the budget?
    token_estimates  what if nothing but an estimate of the cost is known?
    arrivals         what arrived at the server of a burst, and what of it broke a limit
    limiter_peers    other limiters and ours, as processes
    peers            what their decisions cost, and what a service sees of them
    overhead         what a call costs beside the call itself
    bulk             many calls, with a limiter and without one
    decision         what it costs to decide that a call may begin
    moody_server     one whose behaviour is switched
    caller           a process that calls it
    callers          starts, stops and kills such processes
    retriers         calls with and without a bound on retries
    outage           a service that is unwell
    killed           processes and servers that die
    cache_caller     a process that asks for kept answers
    stampede         one answer for many callers of many processes
"""
