"""Many processes while they and their servers are killed, frozen, cut off and emptied; nothing may be lost.

By hand: ``python -m tests.chaos --minutes 10 --seed 7``. Read in this order:

    run              from the first process to the judgement
    plan             how large a run is, and its limits
    load             submits messages
    disturbances     kills, freezes and cuts off processes and servers
    isolation/       lets Telegram fail some bots, and times the others
    telegram_faults  lets Telegram fail
    processes        the processes, started again when they end
    servers          a Redis and a PostgreSQL of its own
    proxy            between a process and a server
    evidence         what is known when a run is over
    judge            whether each promise was kept
    duplicates       messages that arrived more than once, and why
    broken_windows   limits that would have held without duplicates
"""
