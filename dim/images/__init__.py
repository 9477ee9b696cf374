"""Pictures: found, decoded within a budget, and cut to a region."""
