"""What the calls of services promise, shown against a server that counts by itself.

Read in this order:

    strict_counts    what the server counts, and what breaks a limit
    strict_words     what it says of its limits
    strict_server    the server, as a process of its own
    strict_client    a process that calls it through ``Services``
    processes        starts and ends both
    shipped_limits   is a limit ever broken, and how much of it is used?
    foreign_client   what if another client eats half of the budget?
    token_estimates  what if nothing but an estimate of the cost is known?
"""
