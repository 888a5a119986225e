"""The model card: a README.md, as the Hugging Face hub shows it, of what is known of a model and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from cmd_speaker import __version__
from cmd_speaker.embeddings import load_embeddings
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.export.parity import Parity
from cmd_speaker.files import write_atomically
from cmd_speaker.model import SpeakerModel

TAGS = ["speaker-recognition", "speaker-verification", "speaker-embedding", "cross-modal-distillation"]
LIMITS = """\
## Limits

- Another language, channel, age or way of speaking than in the training data gives other, usually higher error
  rates, and a threshold of one kind of recording does not fit another: calibrate on recordings like yours.
- Very short recordings tell little of a speaker.
- A score does not prove who somebody is: voices can be imitated, converted and synthesised, and this model does
  not detect that.
- A voice is personal data: ask people before you enrol them.
"""
USE = """\
## Use

With CMD-Speaker (`pip install cmd-speaker`), from the model folder of which this was made:

```python
from cmd_speaker import SpeakerModel

model = SpeakerModel.load("MODEL")
model.similarity("a.wav", "b.wav")  # cosine
```
"""
SPEECHBRAIN = """
With SpeechBrain, from this folder, wherever it lies{needs}:

```python
from speechbrain.inference.speaker import SpeakerRecognition

model = SpeakerRecognition.from_hparams(source="FOLDER")
score, same = model.verify_files("a.wav", "b.wav")
```

`same` compares with SpeechBrain's threshold of 0.25, which was not chosen for this model.
"""


def write_card(
    model: SpeakerModel,
    out: str | Path,
    *,
    results: Mapping[str, Any] | None = None,
    licence: str | None = None,
) -> None:
    """Write the card of `model` as a Markdown file.

    Raises `UsageError` for a name that is not `.md`, and `DataError` where it cannot be written.
    """
    if Path(out).suffix != ".md":
        raise UsageError(f"a card is a Markdown file: expected a name that ends in .md, found {out}")
    with write_atomically(out) as temporary:
        temporary.write_text(model_card(model, results=results, licence=licence), encoding="utf-8")


def load_results(path: str | Path, model: SpeakerModel) -> dict[str, Any]:
    """The `results.json` of a run, if it is of this model: the `embeddings.npz` beside it says of which it is.

    Raises `DataError` for a file that is no such results, and for those of another model.
    """
    path = Path(path)
    embeddings = load_embeddings(path.parent / "embeddings.npz")
    if embeddings.model != model.checksum:
        raise DataError(
            "these are the results of another model", file=path, expected=f"model {model.checksum[:12]}...",
            found=f"{embeddings.model[:12]}..." if embeddings.model else "none named", fix="Give those of its run",
        )  # fmt: skip
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        for figures in results.values():
            _figures_row("", figures)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            "not the results of a run",
            file=path,
            expected="results.json as a recipe writes it",
            found=f"{error!r}",
        ) from error
    return results


def model_card(
    model: SpeakerModel,
    *,
    results: Mapping[str, Any] | None = None,
    licence: str | None = None,
    parity: Parity | None = None,
    needs_package: bool = False,
) -> str:
    """The card as Markdown. `results` maps the name of a trial list to its figures, as in a run's `results.json`.

    `parity` is that of the folder for SpeechBrain in which the card lies, `needs_package` whether this package
    must be installed where that is loaded.
    """
    parts = [
        _front_matter(licence, parity),
        _what_it_is(model),
        _training(model.description.get("provenance", {})),
    ]
    parts += [_figures(results or {}), LIMITS, USE]
    if parity:
        needs = ", with `pip install cmd-speaker`" if needs_package else ""
        parts[-1] += SPEECHBRAIN.format(needs=needs)
        parts.append(
            "## Parity\n\nLargest difference between a component of an embedding and that of CMD-Speaker, "
            f"relative to the norm, for recordings of several lengths. {parity}.\n"
        )
    return "\n".join(parts)


def _front_matter(licence: str | None, parity: Parity | None) -> str:
    """What the hub reads. A licence may be any text, so that a YAML library quotes it where it must."""
    entries: dict[str, Any] = {"library_name": "speechbrain"} if parity else {}
    if licence:
        entries["license"] = licence
    entries["tags"] = TAGS
    return f"---\n{yaml.safe_dump(entries, sort_keys=False)}---\n"


def _what_it_is(model: SpeakerModel) -> str:
    checksum, description = model.checksum, model.description
    architecture, front_end = description["architecture"], description["front_end"]
    parameters = sum(p.numel() for p in model.encoder.student.parameters())
    rows = {
        "Architecture": f"{architecture}, {_arguments(description['arguments'])}",
        "Parameters": f"{parameters:,}",
        "Front-end": f"{front_end['name']}, {_arguments(front_end['arguments'])}; mean over time subtracted",
        "Input": f"one channel, {description['sample_rate']} Hz",
        "Embedding": f"{model.embedding_size} numbers, compared by the cosine",
        "Checksum": f"`{checksum}`",
    }
    head = f"# Speaker embeddings: {architecture}\n\nMade with CMD-Speaker {__version__}."
    return f"{head}\n\n{_table(('', ''), rows.items())}"


def _training(provenance: Mapping[str, Any]) -> str:
    """What the model's folder says of its training: no paths, no names of people are in it."""
    recipe = provenance.get("recipe")
    if recipe is None or "hyperparameters" not in provenance:
        return "## Training\n\nNot recorded with the model.\n"
    checksums = provenance["checksums"]
    # A run's own teachers lie in teachers/NAME, those that runs share in a NAME of any folder.
    files = map(PurePosixPath, checksums)
    teachers = sorted(file.parent.name for file in files if file.name == "targets.safetensors")
    taught = (
        f"The speech encoder was taught by: {', '.join(teachers)}."
        if teachers
        else "Its record names no teacher."
    )
    plain = {key: value for key, value in provenance["hyperparameters"].items() if _is_plain(value)}
    short = {name: f"`{checksum[:16]}`" for name, checksum in checksums.items()}
    return "\n".join(
        [
            f"## Training\n\nRecipe `{recipe}`, commit `{provenance['commit']}`. {taught}",
            "A teacher is needed for training only.\n",
            _details("Hyperparameters", _table(("Key", "Value"), plain.items())),
            _details("Versions", _table(("Package", "Version"), provenance["versions"].items())),
            _details("Files, by the beginning of their SHA-256", _table(("File", "Checksum"), short.items())),
        ]
    )


def _is_plain(value: str) -> bool:
    """Numbers and words; no objects of a recipe, and no folders, of which "..." is left."""
    return "!" not in value and "..." not in value and "/" not in value


def _figures(results: Mapping[str, Any]) -> str:
    if not results:
        return "## Figures\n\nNone were given. Measure it on your own recordings before you rely on it.\n"
    rows = [_figures_row(name, figures) for name, figures in results.items()]
    head = ("Trials", "Targets", "Nontargets", "Speakers", "EER", "minDCF (0.01)")
    note = "In brackets: 95 % interval over speakers, where it is known."
    return f"## Figures\n\n{_table(head, rows)}\n{note}\n"


def _figures_row(name: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
    eer = _bounded("{:.2%}", figures["eer"], figures["eer_low"], figures["eer_high"])
    cost = _bounded("{:.3f}", *(figures[f"min_dcf_001{end}"] for end in ("", "_low", "_high")))
    counts = (
        f"{figures['targets']:,}",
        f"{figures['nontargets']:,}",
        str(figures["speakers"] or "not counted"),
    )
    return (name, *counts, eer, cost)


def _bounded(form: str, value: float, low: float | None, high: float | None) -> str:
    bounds = "" if low is None or high is None else f" ({form.format(low)} to {form.format(high)})"
    return form.format(value) + bounds


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in arguments.items())


def _details(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n</details>\n"


def _table(head: tuple[str, ...], rows: Any) -> str:
    return "".join(_lines(head, rows))


def _lines(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', '&#124;') for cell in row)} |\n"
