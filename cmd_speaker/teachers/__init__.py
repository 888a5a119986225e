"""The teacher's side: encoders of richer modalities, the bank of their embeddings, and stage 1."""
