"""Ranks, metrics and protocols: the same for every method, and for results that others bring."""
