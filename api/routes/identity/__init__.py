"""Who is let in.

Read in this order:

    users   see, add, change and remove users
    tokens  see, make and revoke API tokens
"""
