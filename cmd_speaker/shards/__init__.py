"""Training audio in WebDataset shards: a few large files in place of a million small ones."""
