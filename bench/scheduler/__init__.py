"""What the scheduler promises, shown on real processes and databases.

Read in this order:

    task_process    a process that runs tasks, and notes when
    task_processes  starts such processes, stops and kills them
    disturbances    what is done to them
    killed          does each due time run once whatever is done to the processes?
    lateness        how late are 10,000 tasks, and what does an hour without any cost?
    task_log        what its database says of each run
    contest         the four tasks of a contest, on the small limits of X
"""
