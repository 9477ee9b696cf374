"""The contrastive method (DIM, arXiv 2407.12019): one vector a mention, one an entity, trained to lie near."""
