"""Telegram's side: calls out, updates in, settings. The simulator has a folder of its own."""
