"""Mini: a corpus of synthetic voices, drawn faces and descriptions, made on the spot."""
