"""What the page says: answers, mistakes and clips as HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import soundfile

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.decision import Verification
from cmd_speaker.demo.desk import Clip, Desk
from cmd_speaker.errors import CmdSpeakerError
from cmd_speaker.registry import Identification
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
    decided = UNCALIBRATED
    if calibration is not None:
        origin = calibration.origin
        decided = (
            f"Calibrated for prior {calibration.prior:g} on {origin.targets:,} targets and "
            f"{origin.nontargets:,} nontargets of {origin.scores['name']}."
        )
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


def describe_comparison(found: Verification) -> Markup:
    """Score, LLR, threshold and decision of two clips."""
    decision = {None: "No decision", True: "Same speaker", False: "Different speakers"}[found.same_speaker]
    rows = [("Score", f"{found.score:.4f}")]
    if found.llr is not None:
        rows += [
            ("Log-likelihood ratio (LLR)", f"{found.llr:+.2f}"),
            ("Threshold of the LLR", f"{found.threshold:.2f} at prior {found.point}"),
        ]
    cells = [element("tr", element("th", name, scope="row"), element("td", value)) for name, value in rows]
    table = element("table", element("caption", "Clip A against clip B"), element("tbody", *cells))
    return joined(
        element("p", decision, class_="decision"), table, _notes(found.warnings, found.same_speaker)
    )


def describe_identification(letter: str, found: Identification) -> Markup:
    """Who a clip may be, the likeliest first."""
    who = {None: "No decision", True: found.name or "", False: "Nobody who is enrolled"}[found.known]
    columns, caption = ["Speaker", "Score"], f"Clip {letter} against {found.speakers} enrolled"
    if found.threshold is not None:
        columns.append("LLR")
        caption += f"; threshold {found.threshold:.2f} at prior {found.point} that it is any of them"
    head = element("tr", *(element("th", name, scope="col") for name in columns))
    rows = []
    for each in found.candidates:
        values = [f"{each.score:.4f}"] + ([] if each.llr is None else [f"{each.llr:+.2f}"])
        cells = [element("td", value) for value in values]
        rows.append(element("tr", element("th", each.name, scope="row"), *cells))
    table = element("table", element("caption", caption), element("thead", head), element("tbody", *rows))
    return joined(element("p", who, class_="decision"), table, _notes(found.warnings, found.known))


def _notes(warnings: Sequence[str], decision: bool | None) -> Markup:
    notes = [
        *warnings,
        *(["Score only: without a calibration no decision follows"] if decision is None else []),
    ]
    return joined(*(element("p", f"{note}.", class_="note") for note in notes))
