"""The simulator alone: what it promises any Bot API client, and what it reports afterwards."""
