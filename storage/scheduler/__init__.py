"""What must outlive a process of tasks.

Read in this order:

    steps   steps of tasks in bulk, each with its conditions
    tasks   when each is due, how it goes, and its last runs
    sweeps  how far each sweep and each named bulk is
    beats   which loops of which processes run
"""
