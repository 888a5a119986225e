"""Studies: many runs of a recipe, each once, and what they say together: `cmd-speaker study STUDY.yaml`."""
