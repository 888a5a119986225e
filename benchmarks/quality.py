"""How every source of quality answers to graded damage, on real recordings, photographs and descriptions.

    python benchmarks/quality.py --speech CORPUS --pictures FOLDER --out DIR [--model MODEL ...] [--seed 1]

CORPUS is speechocean762, of which `--utterances` recordings of the test part are drawn; they are measured
whole, and the middle `--seconds` of each, which is what a student hears in training. FOLDER holds one folder
of pictures for each person, as the ORL faces do; the texts are Mini's descriptions. A MODEL is a student's
folder: the norm of its embeddings is a source. Half of the people train a small face teacher, and Mini's
training speakers a small text teacher, whose norms on the others are sources.

Prints a table for each kind of input, also written to DIR/quality.md: the median of each source, and in brackets
the area under the ROC curve (AUC): the share of the pairs of an undamaged and a damaged input, of all inputs and
not only of the same one, that the source puts in the right order; 0.5 by chance. DIR/quality.png draws the AUCs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import rankdata

from benchmarks.machine import machine
from cmd_speaker.audio import SAMPLE_RATE, read_audio
from cmd_speaker.files import write_atomically
from cmd_speaker.kaldi import read_table
from cmd_speaker.model import SpeakerModel
from cmd_speaker.plots import save_figure
from cmd_speaker.progress import track
from cmd_speaker.quality import damage, image, speech, text
from cmd_speaker.quality.columns import measure_speech
from cmd_speaker.quality.sources import sign_of
from cmd_speaker.teachers.face import SmallFaceTeacher
from cmd_speaker.teachers.pictures import read_picture
from cmd_speaker.teachers.text import SmallTextTeacher
from data_prep.mini.speakers import describe, draw_speakers

Damage = Callable[[Any, np.random.Generator], Any]
Measure = Callable[[Sequence[Any]], Mapping[str, np.ndarray]]
"""Inputs -> each source's values [n], more is better only where `sign_of` says so."""
Grades = dict[str, dict[str, Damage]]
"""Kind of damage -> grade -> what it does to one input, mildest first."""


def no_chance(function: Callable[..., Any], grade: float) -> Damage:
    return lambda item, rng: function(item, grade)


def noise(snr_db: float, colour: str) -> Damage:
    return lambda samples, rng: damage.add_noise(samples, snr_db, rng, colour)


def drawn(function: Callable[..., Any], share: float) -> Damage:
    return lambda item, rng: function(item, share, rng)


SPEECH: Grades = {
    **{
        f"{colour} noise": {f"{snr} dB": noise(snr, colour) for snr in (20, 15, 10, 5, 0)}
        for colour in damage.COLOURS
    },
    "reverberation": {f"{seconds} s": drawn(damage.reverberate, seconds) for seconds in (0.2, 0.4, 0.8)},
    "clipped": {
        f"{share:.1%}": no_chance(damage.clip_samples, share) for share in (0.001, 0.01, 0.03, 0.1, 0.3)
    },
    "cut to": {f"{share:.0%}": drawn(damage.truncate, share) for share in (0.75, 0.5, 0.25, 0.1)},
}
PICTURES: Grades = {
    "blur": {f"{radius} px": no_chance(damage.blur, radius) for radius in (0.5, 1, 2, 4)},
    "scaled down": {f"by {factor}": no_chance(damage.downscale, factor) for factor in (1.5, 2, 3, 4)},
}
TEXTS: Grades = {
    "words lost": {f"{share:.0%}": drawn(damage.drop_words, share) for share in (0.2, 0.4, 0.6, 0.8)}
}


def voices(recordings: Sequence[np.ndarray]) -> dict[str, Damage]:
    """A second voice, drawn from the recordings and repeated to the length."""

    def disturb(samples: np.ndarray, rng: np.random.Generator, snr_db: float) -> np.ndarray:
        other = recordings[int(rng.integers(len(recordings)))]
        return damage.mix(samples, np.resize(other, len(samples)), snr_db)

    return {f"{snr} dB": partial(disturb, snr_db=snr) for snr in (20, 10, 0)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun = time.perf_counter()
    recordings = read_speech(options.speech, options.utterances, options.seed)
    length = round(options.seconds * SAMPLE_RATE)
    middles = [samples[max(0, len(samples) - length) // 2 :][:length] for samples in recordings]
    of_speech = partial(speech_sources, {path.parent.name or "model": path for path in options.model})
    pictures, of_pictures = picture_sources(options.pictures)
    texts, of_texts = text_sources(options.seed)
    of_recordings = SPEECH | {"second voice": voices(recordings)}
    parts = {
        f"Speech, {len(recordings)} whole recordings": respond(
            recordings, of_recordings, of_speech, options.seed
        ),
        f"Speech, the middle {options.seconds:g} s": respond(middles, of_recordings, of_speech, options.seed),
        f"Pictures, {len(pictures)}": respond(pictures, PICTURES, of_pictures, options.seed),
        f"Texts, {len(texts)}": respond(texts, TEXTS, of_texts, options.seed),
    }
    seconds = time.perf_counter() - begun
    written = [f"Seed {options.seed}, {seconds:.0f} s; {machine('torch', 'numpy')}"]
    written += [f"**{title}**\n\n{table(sources)}" for title, sources in parts.items()]
    print("\n\n".join(written))
    with write_atomically(options.out / "quality.md") as temporary:
        temporary.write_text("\n\n".join(written) + "\n", encoding="utf-8")
    save_figure(picture(parts), options.out / "quality.png")


Responses = dict[str, dict[tuple[str, str], tuple[float, float]]]
"""Source -> (kind of damage, grade) -> (median, AUC); ("", "undamaged") has an AUC of 0.5."""


def respond(items: Sequence[Any], grades: Grades, measure: Measure, seed: int) -> Responses:
    """Every source's answer to every grade; item k of a grade is damaged with a seed of its own."""
    clean = measure(items)
    found: Responses = {
        name: {("", "undamaged"): (float(np.median(values)), 0.5)} for name, values in clean.items()
    }
    places = [(kind, grade) for kind, each in grades.items() for grade in each]
    for number, (kind, grade) in track(list(enumerate(places)), "Damaging", len(places)):
        spoil = grades[kind][grade]
        rngs = [np.random.default_rng((seed, number, k)) for k in range(len(items))]
        damaged = measure([spoil(item, rng) for item, rng in zip(items, rngs, strict=True)])
        for name, values in damaged.items():
            score = auc(sign_of(name) * clean[name], sign_of(name) * values)
            found[name][kind, grade] = float(np.median(values)), score
    return found


def auc(better: np.ndarray, worse: np.ndarray) -> float:
    """Share of the pairs of which the better one has the higher value; a tie is half (Mann and Whitney 1947)."""
    ranks = rankdata(np.concatenate([better, worse]))[: len(better)]
    n = len(better)
    return float((ranks.sum() - n * (n + 1) / 2) / (n * len(worse)))


def read_speech(corpus: Path, count: int, seed: int) -> list[np.ndarray]:
    paths = sorted(read_table(corpus / "test" / "wav.scp").values())
    chosen = np.random.default_rng(seed).permutation(len(paths))[:count]
    return [read_audio(corpus / paths[k]) for k in sorted(chosen.tolist())]


def speech_sources(models: Mapping[str, Path], recordings: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    rows = [measure_speech(samples, list(speech.MEASURES)) for samples in recordings]
    values = {name: np.array([row[name] for row in rows]) for name in speech.MEASURES}
    values["duration"] = np.array([len(samples) / SAMPLE_RATE for samples in recordings])
    for name, folder in models.items():
        model = SpeakerModel.load(folder)
        values[f"norm of {name}"] = np.array([np.linalg.norm(model.embed(each)) for each in recordings])
    return values


def picture_sources(folder: Path) -> tuple[list[np.ndarray], Measure]:
    """The pictures of every other person, and their sources; the others train the face teacher."""
    people = sorted(path for path in folder.iterdir() if path.is_dir())
    paths = {person: sorted(person.iterdir()) for person in people}
    trained = [(path, person.name) for person in people[::2] for path in paths[person]]
    teacher = SmallFaceTeacher()
    teacher.fit([path for path, _ in trained], [name for _, name in trained])
    pictures = [read_picture(path) for person in people[1::2] for path in paths[person]]

    def measure(items: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        values = {name: np.array([each(item) for item in items]) for name, each in image.MEASURES.items()}
        with TemporaryDirectory() as temporary:
            files = [Path(temporary) / f"{k}.png" for k in range(len(items))]
            for file, item in zip(files, items, strict=True):
                Image.fromarray(item.transpose(1, 2, 0)).save(file)
            values["norm of the face teacher"] = np.linalg.norm(teacher.embed(files), axis=1)
        return values

    return pictures, measure


def text_sources(seed: int) -> tuple[list[str], Measure]:
    """Descriptions of Mini's validation speakers, and their sources; the training speakers' train the teacher."""
    teacher = SmallTextTeacher()
    teacher.fit([describe(speaker) for speaker in draw_speakers("train", 120, seed)])
    texts = [describe(speaker) for speaker in draw_speakers("valid", 120, seed)]

    def measure(items: Sequence[str]) -> dict[str, np.ndarray]:
        values = {name: np.array([each(item) for item in items]) for name, each in text.MEASURES.items()}
        return values | {"norm of the text teacher": np.linalg.norm(teacher.embed(items), axis=1)}

    return texts, measure


def table(sources: Responses) -> str:
    """Markdown: a row for each grade, a column for each source."""
    lines = ["| damage | " + " | ".join(sources) + " |", "|---" * (1 + len(sources)) + "|"]
    for kind, grade in next(iter(sources.values())):
        cells = [f"{kind} {grade}".strip()]
        for answers in sources.values():
            median, score = answers[kind, grade]
            cells.append(f"{median:.3g} ({score:.2f})" if kind else f"{median:.3g}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(parts: Mapping[str, Responses]) -> Figure:
    """AUC over the grades: a row of panels for each kind of input, a panel for each kind of damage."""
    kinds = {
        title: list(dict.fromkeys(kind for kind, _ in next(iter(sources.values())) if kind))
        for title, sources in parts.items()
    }
    figure = Figure(figsize=(9.6, 1.65 * len(parts)), layout="constrained")
    most = max(map(len, kinds.values()))
    strips = figure.subfigures(len(parts), 1, squeeze=False)[:, 0]
    for strip, (title, sources) in zip(strips, parts.items(), strict=True):
        panels = strip.subplots(1, most, sharey=True, squeeze=False)[0]
        for axes in panels[len(kinds[title]) :]:
            axes.set_axis_off()
        for axes, kind in zip(panels, kinds[title], strict=False):
            for k, (name, answers) in enumerate(sources.items()):
                grades = [grade for found, grade in answers if found == kind]
                scores = [answers[kind, grade][1] for grade in grades]
                axes.plot(grades, scores, marker="o", markersize=3, color=f"C{k}", label=name)
            axes.axhline(0.5, color="black", linewidth=0.6)
            axes.set_title(kind, fontsize=8)
            axes.tick_params(labelsize=6)
            axes.grid(alpha=0.3)
        panels[0].set(ylabel="AUC", ylim=(-0.05, 1.05))
        strip.suptitle(title, fontsize=9)
        strip.legend(*panels[0].get_legend_handles_labels(), fontsize=7, loc="outside right center")
    return figure


if __name__ == "__main__":
    main()
