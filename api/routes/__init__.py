"""The endpoints, one noun a file.

webhook   where Telegram delivers; the hot path
messages  submit, look at and cancel a message
queue     how much waits; dead letters
bots      the fleet
limits    the limits
metrics   for Prometheus
health    whether it is up
"""
