"""A method that answers, without what trains it: its contract, its data, and where a run has its files."""
