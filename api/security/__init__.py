"""Authorization.

Read in this order:

    roles  the role that a bearer token gives
    auth   refuses a request whose token does not give the role of its route
"""
