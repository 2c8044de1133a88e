"""What happens when Redis is away or was emptied: its queue is rebuilt, and meanwhile one process may send for all.

Read in this order:

    failover          the one door: puts the broker and the leader of a process together
    leader            the table of states: what the leading process does next
    redis_mode        what it does while leases come from Redis
    standalone_mode   what it does while they come from its own memory
    failover_broker   the broker that every process uses; it asks the source that the epoch names
    ledger_stats      counts from the ledger while the queue cannot be asked
    redis_health      what the answers of Redis tell about it
    leader_election   which process leads
    epoch_watcher     reads the epoch each second
    catch_up          admits what only the ledger has, soon after trouble
    dead_processes    notices processes that died
"""
