"""Users and their tokens.

Read in this order:

    users   a user
    tokens  an API token
"""
