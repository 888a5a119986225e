"""A trained model in the form of another program, one target a file; each is held against `SpeakerModel` first."""
