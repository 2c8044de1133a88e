"""The ledger and the queue, brought together after a failure.

Read in this order:

    rebuild              an empty queue, brought to where the ledger says it was
    pending_admissions   what this process accepted and could not admit to the queue
    reconciler           compares the ledger with the queue, slowly and always
    parked_messages      what waits outside of every lane until other messages have ended
    settings_sync        pauses, weights and limits of the ledger, applied to the queue
    ended_messages       what has ended and the queue may still hold
    cancellations        takes back one message that waits
"""
