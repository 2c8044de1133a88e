"""How processes that share a database know of one another.

Read in this order:

    session_lock    a lock that ends with its connection
    file_lock       a lock on an SQLite file, whatever its name
    clean_end       notices what an unclean end has cost
    exclusive_lock  keeps a second process from a database
    membership      which processes are alive
    leadership      elects a leader among them
    identity        the id of the ledger
    epochs          stores where leases come from
    adopt_updates   takes over the updates of dead processes
"""
