"""Readers of published releases and of users' own tables, and the demo world: raw files in, records out."""
