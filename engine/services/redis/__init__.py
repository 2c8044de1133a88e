"""The queue of calls of many processes, in Redis.

Read in this order:

    keys     every key
    scripts  the script, and the numbers that it is given
    lua/     what happens in one exchange
    queue    what one process says and hears in it
    sight    what is seen of it from outside
    limiter  awaits the places of a call
"""
