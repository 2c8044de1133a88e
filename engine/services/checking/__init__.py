"""Whether a limit holds, seen from outside: of the engine's services, of any other limiter, and of a server under load.

Read in this order:

    fullest_window  how many calls surely fell into one window
    spread          percentiles, without keeping what was measured
    rate_report     what was seen, and whether the limit held
    rate_check      calls as fast as a limiter lets it
"""
