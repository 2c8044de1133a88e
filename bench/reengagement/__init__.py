"""What re-engagement promises, shown on a year of virtual time.

Read in this order:

    accounts   users who write, opt out and move, and the slow, obvious rule whose turn it is
    process    the behaviour's task over a database, killed where a test wants
    year       exactly the right users on exactly the right local dates, over kills and both clock changes?
"""
