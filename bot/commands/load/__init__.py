"""``tempogram load``: many requests to one address of a program, and what became of them.

Read in this order:

    load    the command
    plan    which requests are made, and what must hold
    seen    what became of them, in a memory that does not grow with them
    runner  makes them, in a closed or an open loop
    shown   the result in words and as JSON, and whether all held
"""
