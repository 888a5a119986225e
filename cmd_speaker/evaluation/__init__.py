"""Trials, scores, metrics, intervals: NumPy only, torch is never imported."""
