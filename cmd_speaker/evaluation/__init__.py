"""Error rates and costs, their intervals, and comparisons. NumPy only, torch is never imported."""
