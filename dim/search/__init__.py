"""Search in a KB: by vector (exact), and by name."""
