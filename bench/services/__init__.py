"""What the calls of services promise, shown against a server that counts by itself.

strict_counts  what the server counts, and what breaks a limit
strict_words   what it says of its limits
strict_server  the server, as a process of its own
"""
