"""The methods: contrastive (DIM), generative (GEMEL), and baselines."""
