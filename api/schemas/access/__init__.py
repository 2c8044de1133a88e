"""Who may do what, and who did, in requests and responses.

Read in this order:

    users   a user
    tokens  an API token
    sessions  a session, and what begins one
    audit   what was changed, and by whom
    keys    under which key secrets are encrypted
"""
