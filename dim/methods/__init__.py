"""The methods: contrastive (DIM), generative (GEMEL), MIMIC, and baselines."""
