"""From embeddings and trials to scores: the back-end. NumPy only, torch is never imported (but for PLDA)."""
