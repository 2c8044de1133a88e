"""What an operator sees of the engine: counters, for Prometheus and as JSON, and calls as they happen.

Read in this order:

    histogram          how long things took
    service_metrics    those of calls to other services
    cache_metrics      those of answers that are kept
    task_metrics       those of tasks and loops
    watch_metrics      those of watches
    metrics            every metric's name, labels and help, and how it is read
    fleet_counts       sums over all processes, for the API
    watched_transport  notifies a view of each call
"""
