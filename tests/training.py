"""Small runs of the recipe, for tests."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes" / "SpeechOcean762"
HPARAMS = RECIPE / "hparams" / "text_teacher.yaml"
SMALL = {
    "width": 8, "embedding_size": 12, "batch_size": 4, "crop_seconds": 0.5, "number_of_epochs": 2,
    "validation_speakers": 2, "validation_interval": 1, "device": "cpu",
    "teachers": "{text: {steps: 30, size: 16, layers: 1}}",
}  # fmt: skip


def arguments(corpus, folder, **changes):
    """The command line of a small run, without the command."""
    options = {**SMALL, "data_folder": corpus, "output_folder": folder, **changes}
    return [str(HPARAMS), *(str(part) for key, value in options.items() for part in (f"--{key}", value))]
