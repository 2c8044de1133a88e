"""What sends messages.

Read in this order:

    worker          leases messages and runs their deliveries
    slots           free connections, set aside for one question to the broker
    delivery        sends one leased message and records what became of it
    attempt         how far one try has come: a type for each step
    history         what a refusal means by the history of its message
    outcome_policy  what follows from each outcome
    failure_log     a line in the log for a retry and for a dead letter
    held_lease      a lease in hand, and whether it may still be used
    lease_retry     asks ledger and broker again while a lease is held
    lost_lease      what follows when a lease was lost
    known_holds     the holds that this process has seen
    heartbeat       extends leases while their calls take long
    recoverer       takes over leases that ran out
"""
