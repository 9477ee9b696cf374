"""GEMEL (arXiv 2306.12725): a frozen language model that writes the entity's name under a prefix tree."""
