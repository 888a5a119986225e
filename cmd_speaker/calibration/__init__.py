"""From scores to log-likelihood ratios that decide. NumPy only, torch is never imported."""
