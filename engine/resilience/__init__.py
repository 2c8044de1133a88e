"""What keeps trouble short: retries, batches, a circuit breaker, and what is wrong just now.

Read in this order:

    conditions       degradations: one log line when one begins, one when it ends
    backoff          how long a failed message waits
    ledger_retry     writes to a ledger that is away, until it takes them
    batcher          gathers items while a batch is on its way
    circuit_breaker  stops calls to a host after too many failures, but for a trial
"""
