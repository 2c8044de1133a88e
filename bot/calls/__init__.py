"""Calls of a ``Bot``: into the engine, and the answer back to the caller.

Read in this order:

    session       what stands under every ``Bot``, so that no call bypasses the engine
    call_options  how the calls inside a block are sent
    gateway       the way of a call into the engine, and of its answer back
    intents       a call, with what its update and the blocks around it say
    answers       what became of a message, as aiogram returns or raises it
    claimed       submits what a campaign has claimed
    endings       tells callers how messages end
    handles       what becomes of calls that refer to messages by their handles
    amendments    what a message that waits is after an edit
    place_wait    how long an awaited call waits for its places
"""
