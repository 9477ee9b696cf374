"""Frozen encoders of text and images, and the cache of what they computed."""
