"""New texts for the entities of a knowledge base, from a language model: prompt, request, budget, record, quality."""
