"""What happens when Redis is away: one process sends for all, from memory, until it is back.

Read in this order:

    leader            the state machine: what the leading process does next
    redis_mode        the mode in which leases come from Redis
    standalone_mode   the mode in which they come from the leader's memory
    failover_broker   the broker that every process uses; it asks whichever the epoch names
    redis_health      what the answers of Redis tell about it
    leader_election   the lock of the lead
    candidacy         whether this process should stand for the lead
    epoch_watcher     reads the epoch each second
    catch_up          finds what only the ledger has, soon after trouble
    dead_processes    notices processes that died
"""
