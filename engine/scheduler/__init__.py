"""Runs tasks at their time: each due time once, in one process of all, and none at the cost of another.

Read in this order:

    times          when a task is due
    task           what is done, and when
    decisions      what is to be done about a task now
    own_loop       work in a thread of its own
    run            one run: its attempts and its time limit
    endings        what the end of a run makes of its task's row
    by_hand        what an operator may change
    shared_clock   the time that all processes share
    status         how a task or a loop is
    watchdog       names a task that blocks the others
    entry          what one process knows of one task
    agenda         when each task is to be looked at
    known_rows     the rows of tasks as they were read last, and steps of them
    lease_renewal  renews the leases of the runs that are under way
    runner         carries out the runs of this process
    scheduler      all of it, in one process of many
    board          all tasks and loops, as an operator sees and changes them
    plan           what tasks will call, against the budgets
    sweep          goes through everything before a deadline
"""
