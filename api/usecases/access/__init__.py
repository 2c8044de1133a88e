"""Who is let in.

Read in this order:

    users   adds, changes and removes users
    tokens  makes, lists and revokes API tokens
    log_in  logs users in and out
"""
