"""What sends messages.

Read in this order:

    worker          leases messages and runs their deliveries
    slots           free connections, set aside for one question to the broker
    delivery        sends one leased message and records what became of it
    outcome_policy  what follows from each outcome
    held_lease      a lease in hand, and whether it may still be used
    settle_batcher  settles leases in batches
    heartbeat       extends leases while their calls take long
    recoverer       takes over leases that ran out
"""
