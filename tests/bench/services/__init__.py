"""The showings of the services: what a strict server counts, and that it sees no limit broken."""
