"""What the page says: answers, mistakes and clips as HTML."""

from __future__ import annotations

import base64
import io

import soundfile

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.demo.desk import Answers, Clip, Desk
from cmd_speaker.errors import CmdSpeakerError
from cmd_speaker.report.markup import Markup, element, joined

UNCALIBRATED = (
    "Score only: the model folder has no calibration, and a score alone says neither how likely it is the same "
    "speaker nor where to decide. Make one with cmd-speaker calibrate SCORES --into MODEL."
)


def describe_model(desk: Desk) -> Markup:
    """Which model this is, and by what it decides."""
    description = desk.model.description
    calibration = desk.decider.calibration
    facts = f"{desk.folder.resolve().name}: {description['architecture']}, {desk.model.checksum[:12]}. "
    decided = UNCALIBRATED if calibration is None else f"Calibrated {calibration}."
    return element("p", facts, decided, class_="note")


def describe_clip(letter: str, clip: Clip) -> Markup:
    """A clip's length, with a player of what the model heard; the sound is in the page itself, in no file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, clip.samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    source = "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return joined(
        element("p", f"Clip {letter}: {clip.name}, {clip.recording.seconds:.1f} s"),
        element("audio", controls="", src=source, aria_label=f"Clip {letter}, as the model hears it"),
    )


def describe_mistake(error: CmdSpeakerError) -> Markup:
    """What is wrong and what to do, in words."""
    return element("p", str(error), class_="mistake", role="alert")


def describe_comparison(found: Answers) -> Markup:
    """Score, LLR, threshold and decision of two clips."""
    (answer,) = found.answers
    decision = {None: "No decision", True: "Same speaker", False: "Different speakers"}[answer.yes]
    rows = [("Score", f"{answer.score:.4f}")]
    if answer.rule is not None:
        rows += [
            ("Log-likelihood ratio (LLR)", f"{answer.llr:+.2f}"),
            ("Threshold of the LLR", f"{answer.rule.threshold:.2f} at prior {answer.rule.point}"),
        ]
    cells = [element("tr", element("th", name, scope="row"), element("td", value)) for name, value in rows]
    table = element("table", element("caption", "Clip A against clip B"), element("tbody", *cells))
    return joined(element("p", decision, class_="decision"), table, _notes(found))


def describe_identification(letter: str, found: Answers) -> Markup:
    """Who a clip may be, the likeliest first."""
    first = found.answers[0]
    who = {None: "No decision", True: first.name, False: "Nobody who is enrolled"}[first.yes]
    columns, threshold = ["Speaker", "Score"], ""
    if first.rule is not None:
        columns.append("LLR")
        threshold = (
            f"; threshold {first.rule.threshold:.2f} at prior {first.rule.point} that it is any of them"
        )
    head = element("tr", *(element("th", name, scope="col") for name in columns))
    rows = []
    for answer in found.answers:
        values = [f"{answer.score:.4f}"] + ([] if answer.llr is None else [f"{answer.llr:+.2f}"])
        cells = [element("td", value) for value in values]
        rows.append(element("tr", element("th", answer.name, scope="row"), *cells))
    caption = element("caption", f"Clip {letter} against everybody enrolled{threshold}")
    table = element("table", caption, element("thead", head), element("tbody", *rows))
    return joined(element("p", who, class_="decision"), table, _notes(found))


def _notes(found: Answers) -> Markup:
    notes = list(found.warnings)
    if found.answers[0].rule is None:
        notes.append("Score only: without a calibration no decision follows")
    return joined(*(element("p", f"{note}.", class_="note") for note in notes))
