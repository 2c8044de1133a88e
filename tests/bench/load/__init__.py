"""The load comes at its planned instants, and everything is counted from those."""
