"""What became of the pictures: who has a face, why others have none, and a contact sheet to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from cmd_speaker.errors import DataError
from cmd_speaker.faces.embedding import REASONS, USED, Outcome
from cmd_speaker.faces.encoders import FaceEncoder
from cmd_speaker.faces.sources import FaceSource, FaceSources, evenly
from cmd_speaker.files import write_atomically, write_json
from cmd_speaker.manifest import Manifest
from cmd_speaker.teachers.matching import LEVELS, match_rows
from cmd_speaker.teachers.pictures import GIVEN

Looked = Sequence[tuple[FaceSource, Outcome]]
PIXELS, TEXT, GAP, COLUMNS = 128, 30, 8, 8
SHOWN_USED, SHOWN_OTHERS = 32, 16


def coverage(
    manifests: Sequence[Manifest], sources: FaceSources, outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """Counts: for each manifest the utterances by the level of their face and the speakers; the pictures by what
    became of them, among them those in which several faces were found."""
    used = [
        (source.level, source.key)
        for source, outcome in zip(sources.chosen, outcomes, strict=True)
        if outcome.status == USED
    ]
    statuses = Counter(outcome.status for outcome in outcomes)
    statuses["missing"] = len(sources.missing)
    return {
        "manifests": [_coverage_of(manifest, used) for manifest in manifests],
        "pictures": {
            "looked_at": len(outcomes), "used": statuses[USED], **{reason: statuses[reason] for reason in REASONS},
            "several_faces": sum(outcome.face is not None and outcome.face.found > 1 for outcome in outcomes),
            "passed_over": sources.passed_over,
        },
    }  # fmt: skip


def _coverage_of(manifest: Manifest, used: Sequence[tuple[str, str]]) -> dict[str, Any]:
    levels = match_rows(used, manifest).levels
    counts = Counter(levels)
    with_face = {
        utterance.spk_id for utterance, level in zip(manifest, levels, strict=True) if level in LEVELS
    }
    return {
        "manifest": manifest.path.name,
        "utterances": {"total": len(manifest), **{level: counts[level] for level in (*LEVELS, "none")}},
        "no_face_named": manifest.column("face").count(""),
        "speakers": {"total": len(manifest.speakers), "with_face": len(with_face)},
    }


def in_words(found: dict[str, Any]) -> str:
    """The coverage as a table in Markdown."""
    columns = ("manifest", "utterances", "own face", "the session's", "the speaker's", "none", "none named",
               "speakers", "with a face")  # fmt: skip
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    for each in found["manifests"]:
        counts = (*each["utterances"].values(), each["no_face_named"], *each["speakers"].values())
        lines.append(f"| {each['manifest']} | " + " | ".join(f"{count:,}" for count in counts) + " |")
    pictures = found["pictures"]
    lines += ["", "| pictures | |", "|---|---:|"]
    words = {"looked_at": "looked at", "used": "used", **REASONS, "several_faces": "with several faces",
             "passed_over": "passed over, as their utterance, session or speaker has enough"}  # fmt: skip
    lines += [f"| {words[name]} | {count:,} |" for name, count in pictures.items()]
    return "\n".join(lines)


def write_report(folder: Path, found: dict[str, Any], looked: Looked, encoder: FaceEncoder) -> None:
    """Write `coverage.json`, `coverage.md` and `contact_sheet.jpg` into `folder`."""
    write_json(folder / "coverage.json", found)
    with write_atomically(folder / "coverage.md") as temporary:
        temporary.write_text(in_words(found) + "\n", encoding="utf-8")
    with write_atomically(folder / "contact_sheet.jpg") as temporary:
        contact_sheet(looked, encoder).save(temporary, "JPEG", quality=90)


def contact_sheet(looked: Looked, encoder: FaceEncoder) -> Image.Image:
    """Some pictures that are used, as the encoder sees them, and some that are not, each with what is known.

    Both kinds are spread evenly over the run. A box shows where the face is that was not good enough. The number
    beside the speaker is the row of `pictures.csv`.
    """
    rows = {source.id: row for row, (source, _) in enumerate(looked, start=2)}
    used = evenly([each for each in looked if each[1].status == USED], SHOWN_USED)
    others = evenly([each for each in looked if each[1].status != USED], SHOWN_OTHERS)
    groups = [
        (f"used, as the encoder sees them: {len(used)} of {_count(looked, True)}", used),
        (f"not used: {len(others)} of {_count(looked, False)}", others),
    ]
    heights = [TEXT + -(-len(cells) // COLUMNS) * (PIXELS + TEXT + GAP) for _, cells in groups]
    sheet = Image.new("RGB", (GAP + COLUMNS * (PIXELS + GAP), sum(heights) + GAP), "white")
    draw, top = ImageDraw.Draw(sheet), GAP
    for (title, cells), height in zip(groups, heights, strict=True):
        draw.text((GAP, top), title, "black", ImageFont.load_default(14))
        for place, (source, outcome) in enumerate(cells):
            x = GAP + place % COLUMNS * (PIXELS + GAP)
            y = top + TEXT + place // COLUMNS * (PIXELS + TEXT + GAP)
            _draw(sheet, (x, y), source, outcome, encoder, f"{source.speaker[:10]} row {rows[source.id]}")
        top += height
    return sheet


def _count(looked: Looked, used: bool) -> int:
    return sum((outcome.status == USED) == used for _, outcome in looked)


def _draw(
    sheet: Image.Image,
    corner: tuple[int, int],
    source: FaceSource,
    outcome: Outcome,
    encoder: FaceEncoder,
    whose: str,
) -> None:
    """One picture with two lines below it: whose, and how sure or why not."""
    draw, (x, y) = ImageDraw.Draw(sheet), corner
    draw.rectangle((x, y, x + PIXELS, y + PIXELS), "lightgrey")
    try:
        shown = _crop(source, outcome, encoder) if outcome.status == USED else _thumbnail(source, outcome)
    except DataError:
        # The reason stands below it.
        draw.line((x, y, x + PIXELS, y + PIXELS), "red")
    else:
        sheet.paste(shown, (x + (PIXELS - shown.width) // 2, y + (PIXELS - shown.height) // 2))
    probability = outcome.quality.get(GIVEN)
    known = "" if probability is None else f" {probability:.3f}"
    lines = (whose, f"{outcome.status.replace('_', ' ')}{known}")
    for line, text in enumerate(lines):
        draw.text((x, y + PIXELS + 2 + 12 * line), text[:22], "black", ImageFont.load_default(10))


def _crop(source: FaceSource, outcome: Outcome, encoder: FaceEncoder) -> Image.Image:
    image = Image.fromarray(encoder.crop(source.read(), outcome.face))
    image.thumbnail((PIXELS, PIXELS))
    return image


def _thumbnail(source: FaceSource, outcome: Outcome) -> Image.Image:
    image = Image.fromarray(source.read())
    scale = PIXELS / max(image.size)
    shown = image.resize([max(1, round(scale * side)) for side in image.size])
    if outcome.face is not None:
        ImageDraw.Draw(shown).rectangle((scale * outcome.face.box).tolist(), outline="red", width=2)
    return shown
