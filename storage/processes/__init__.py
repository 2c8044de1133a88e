"""What processes that share a database know of one another.

Read in this order:

    session_lock    a lock that ends with its connection
    exclusive_lock  the one process of an embedded database
    membership      which processes live
    leadership      which of them leads
    epochs          where leases come from
    adopt_updates   updates of processes that died
"""
