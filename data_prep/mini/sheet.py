"""Who is in the corpus, at a glance: descriptions, faces and voices of some speakers."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cmd_speaker.audio import SAMPLE_RATE, read_audio
from cmd_speaker.manifest import Manifest, Utterance
from cmd_speaker.plots import save_figure
from cmd_speaker.teachers.pictures import face_inputs, read_picture

SPEAKERS, FACES, VOICES = 5, 6, 2
PIXELS = 112


def draw_sheet(manifest: Manifest, data_root: str | Path, path: str | Path) -> None:
    """One row a speaker: the description, six faces of three sessions, spectrograms of two sessions.

    The speakers are spread evenly over `manifest`, which has `text` and `face`. Raises `DataError` or
    `DataErrors` naming bad pictures and recordings.
    """
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in manifest:
        by_speaker.setdefault(utterance.spk_id, []).append(utterance)
    pictures: dict[tuple[str, str], list[str]] = {}
    for each in face_inputs(manifest, data_root):
        pictures.setdefault((each.identity, each.session), []).append(each.content)
    places = np.linspace(0, len(by_speaker) - 1, min(SPEAKERS, len(by_speaker))).round().astype(int)
    chosen = [list(by_speaker.values())[place] for place in places]
    figure = Figure(figsize=(14, 1.5 * len(chosen)), layout="constrained")
    grid = figure.subplots(
        len(chosen), 1 + FACES + VOICES, squeeze=False, width_ratios=[1.6, *[1] * FACES, *[1.3] * VOICES]
    )
    for row, utterances in zip(grid, chosen, strict=True):
        sessions = {u.fields["session"]: u for u in utterances}
        row[0].text(0, 0.5, textwrap.fill(utterances[0].fields["text"], 27), va="center", fontsize=9)
        shown = [p for name in list(sessions)[:3] for p in pictures[utterances[0].spk_id, name][:2]]
        for axes, picture in zip(row[1 : 1 + FACES], shown, strict=False):
            axes.imshow(read_picture(picture, PIXELS).transpose(1, 2, 0))
        for axes in row[: 1 + FACES]:
            axes.axis("off")
        for axes, utterance in zip(row[1 + FACES :], sessions.values(), strict=False):
            samples = read_audio(utterance.wav)[: 2 * SAMPLE_RATE]
            axes.specgram(samples, NFFT=512, noverlap=384, Fs=SAMPLE_RATE, vmin=-120, cmap="magma")
            axes.set(yticks=[0, 4000, 8000], yticklabels=["0", "4", "8 kHz"], xticks=[0, 1, 2])
            axes.tick_params(labelsize=7)
    grid[-1][-1].set_xlabel("seconds", fontsize=8)
    save_figure(figure, path)
