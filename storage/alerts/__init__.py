"""What must outlive a process of alerts, and where the database shows what is wrong.

Read in this order:

    alerts    which are open, and which notices wait for which channel
    readings  tasks, bots and dead letters that are worth an alert
"""
