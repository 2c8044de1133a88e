"""Authorization.

Read in this order:

    auth  bearer tokens and roles
"""
