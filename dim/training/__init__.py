"""What trains, opens and answers for a run: its data, the contract of a method, checkpoints, results."""
