"""Answers that are asked for often, kept for a while: computed once, however many callers and processes wait.

Redis away, or an entry that cannot be read, is a miss and never an error.

Read in this order:

    options         what may be kept, and for how long
    keys            the name of an entry
    entry           what is kept, as JSON
    sizes           how many bytes each group of entries has
    memory_backend  entries of this process
    redis_backend   entries of all processes
    store           entries, their tags and locks, in one of the two
    single_flight   one computation for all callers of this process
    cache           reads, computes, keeps
"""
