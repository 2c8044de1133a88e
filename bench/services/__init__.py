"""What the calls of services promise, shown against a server that counts by itself.

strict_counts  what the server counts, and what breaks a limit
strict_words   what it says of its limits
strict_server  the server, as a process of its own
arrivals       what arrived there of a burst, and what of it broke a limit
limiter_peers  other limiters and ours, as processes
peers          what their decisions cost, and what a service sees of them
overhead       what a call costs beside the call itself
bulk           many calls, with a limiter and without one
"""
