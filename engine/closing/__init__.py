"""Messages that end without being sent.

Read in this order:

    expiry         their time ran out
    replacements   a newer one replaced them, or their target was deleted
    withdrawal     they are taken back, many at a time
    clearance      their bot was removed
    reachability   their chat takes nothing any more
"""
