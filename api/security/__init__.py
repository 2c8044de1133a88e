"""Authorization.

Read in this order:

    principals    bearer tokens, and the role that each gives
    wrong_tokens  how many wrong ones an address may send
    requests      whose token a request has
    audited       writes down each request that changed something
    auth          which role a route needs
"""
