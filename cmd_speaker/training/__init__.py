"""What a recipe needs beside the Brain: data, augmentation, objective, checkpoints, the run's folder."""
