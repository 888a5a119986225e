"""Files that people bring: trial lists, score files, tables about utterances. NumPy only."""
