"""What keeps trouble short: retries, batches, a circuit breaker, and what is wrong just now.

Read in this order:

    conditions       degradations: one log line when one begins, one when it ends
    backoff          how long a failed message waits
    retry            tries again what an outage refused; repeats work for as long as the process runs
    ledger_retry     what to do when the ledger refuses
    batcher          gathers items while a batch is under way
    kept_count       keeps a count of the database for a moment
    circuit_breaker  stops calls to a host that is away, but for a trial each second
"""
