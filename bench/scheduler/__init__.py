"""What the scheduler promises, shown on real processes.

Read in this order:

    task_log  what its database says of each run
    contest   the four tasks of a contest, on the small limits of X
"""
