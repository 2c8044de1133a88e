"""Work in bulk: a function over many items, so many at once, and on after a kill.

It knows nothing of services: a function that makes ``services.call`` passes their limits by itself.

Read in this order:

    results      what came of an item, of all, and what may go wrong with the whole
    source       reads items one by one, of whatever can be iterated
    batches      lists of items, with a pause between them
    notes        writes what has changed soon after it has
    journal      what of a named bulk is done
    map_limited  all of it
"""
