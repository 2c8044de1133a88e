"""The counters of a process, for Prometheus and as JSON.

Read in this order:

    metrics    every metric's name, labels and help, and how it is read
"""
