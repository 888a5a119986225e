"""speechocean762: manifests, descriptions of the training speakers, trial lists.

Reads the official Kaldi-style layout (OpenSLR 101; J. Zhang et al., Interspeech 2021), with audio in
any of `cmd_speaker.kaldi.AUDIO_SUFFIXES`. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from cmd_speaker.audio import AudioInfo
from cmd_speaker.corpora import CORPORA
from cmd_speaker.errors import DataError, DataErrors, UsageError, exit_code_of
from cmd_speaker.kaldi import TABLES, Tables, folder_content, list_audio, probe_listed, read_parts, row_of
from cmd_speaker.manifest import DATA_ROOT, write_manifest
from cmd_speaker.training.preparation import forget_preparation, record_preparation
from data_prep.parts import PARTS, draw_between

NAME, TEST_TRIALS, SPEAKERS = "speechocean762", "test_trials.txt", "speakers.csv"
VALIDATION_SPEAKERS = (
    "5195", "1064", "2034", "2251", "0053", "0739", "0054", "2022", "8057", "1309",
    "6504", "9614", "1044", "0560", "1197", "4005", "3837", "0960", "3088", "9615",
)  # fmt: skip
# Five of each gender and age band. In each of the four groups the training speakers are sorted by age,
# then id; of its n speakers those at index n * (2k + 1) // 10 are taken, k = 2, 0, 4, 1, 3: the middle
# of each fifth, the median first. The groups take turns (f child, m adult, m child, f adult), so that
# the first few are balanced too.
CHILD_BELOW = 16
"""Age in years under which a speaker counts as a child in `VALIDATION_SPEAKERS` and the trials."""
SEED, TARGETS, NONTARGETS = 762, 15000, 30000
HARD_SHARE = 0.62
"""Share of the nontargets whose two speakers have the same gender and age band."""
BANDS = ((13, "child"), (18, "teenager"), (30, "young adult"), (60, "adult"), (100, "older adult"))
DECADES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties")


@dataclass(frozen=True)
class Prepared:
    """The files that `prepare` wrote (None: no validation part) and what they hold."""

    train: Path
    valid: Path | None
    test: Path
    valid_trials: Path | None
    test_trials: Path
    speakers: Path
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Recording:
    """One utterance of the corpus; `wav` is relative to its folder, `age` in years."""

    id: str
    wav: Path
    info: AudioInfo
    speaker: str
    transcript: str
    gender: str
    age: int


def prepare(data_folder: str | Path, output_folder: str | Path, validation_speakers: int = 20) -> Prepared:
    """Write train.csv, valid.csv, test.csv, valid_trials.txt, test_trials.txt and speakers.csv.

    With a record beside them, by which recipes use them again (`cmd_speaker.training.preparation`).

    The first `validation_speakers` of `VALIDATION_SPEAKERS` move from the training part to valid.csv; 0
    writes neither valid.csv nor valid_trials.txt. Training and validation speakers are described, test
    speakers never: nothing about them can reach a teacher.

    Raises `UsageError` (`validation_speakers`), `DataError` or `DataErrors` (the corpus is not complete);
    nothing is written then.
    """
    root, output = Path(data_folder), Path(output_folder)
    if validation_speakers == 1 or not 0 <= validation_speakers <= len(VALIDATION_SPEAKERS):
        raise UsageError(
            f"validation_speakers {validation_speakers}: expected 0, or 2 to {len(VALIDATION_SPEAKERS)}"
        )
    known, test = _read_corpus(root)
    held_out = VALIDATION_SPEAKERS[:validation_speakers]
    if absent := set(held_out) - {recording.speaker for recording in known}:
        raise DataError(
            "validation speakers are missing", file=root / "train" / "utt2spk", expected=", ".join(held_out),
            found=f"no {', '.join(sorted(absent))}", fix="Use the whole corpus, or validation_speakers 0",
        )  # fmt: skip
    given = root / "test" / "trials.txt"
    trials = _check_trials(given, test) if given.is_file() else _draw_trials(test)

    output.mkdir(parents=True, exist_ok=True)
    forget_preparation(output)
    names = (*PARTS, TEST_TRIALS, SPEAKERS)
    train_csv, valid_csv, valid_txt, test_csv, test_txt, speakers_csv = (output / name for name in names)
    valid = [recording for recording in known if recording.speaker in held_out]
    counts = _write_part(train_csv, [r for r in known if r.speaker not in held_out], described=True)
    if valid:
        counts |= _write_part(valid_csv, valid, described=True)
        counts |= _write_trials(valid_txt, [_trial(a, b) for a, b in combinations(valid, 2)])
    else:
        # Those of an earlier run hold speakers who are in train.csv now.
        valid_csv.unlink(missing_ok=True)
        valid_txt.unlink(missing_ok=True)
    counts |= _write_part(test_csv, test, described=False) | _write_trials(test_txt, trials)
    speakers = {r.speaker: (r.speaker, r.gender, r.age, describe(r.gender, r.age)) for r in known}
    with speakers_csv.open("w", newline="", encoding="utf-8") as file:
        rows = [("spk_id", "gender", "age", "text"), *sorted(speakers.values())]
        csv.writer(file, lineterminator="\n").writerows(rows)
    record_preparation(output, NAME, root, {"validation_speakers": validation_speakers}, counts, [], names)
    made = (valid_csv, valid_txt) if valid else (None, None)
    return Prepared(train_csv, made[0], test_csv, made[1], test_txt, speakers_csv, counts)


def describe(gender: str, age: int) -> str:
    """A speaker ('f' or 'm', age in years under 100) in plain English; equal speakers, equal texts."""
    young, grown, their = {"f": ("girl", "woman", "her"), "m": ("boy", "man", "his")}[gender]
    band = next(name for below, name in BANDS if age < below)
    decade = "teens" if age < 20 else DECADES[age // 10 - 2]
    when = "" if age < 13 else f" in {their} {decade}"
    article = "an" if band[0] in "ao" else "a"
    return f"A {young if age < 18 else grown}{when}, {article} {band}, {age} years old."


def _read_corpus(root: Path) -> tuple[list[Recording], list[Recording]]:
    """The training and the test recordings, which share neither speakers nor utterances."""
    if not (root / "train").is_dir() or not (root / "test").is_dir():
        raise DataError(
            "not the speechocean762 corpus", file=root, expected=f"\n{CORPORA['speechocean762'].tree}\n",
            found=folder_content(root), fix="Give the folder that holds train, test and WAVE",
        )  # fmt: skip
    parts = read_parts(root)
    results = probe_listed(root, list_audio(root, parts))
    if errors := [result for result in results if isinstance(result, DataError)]:
        raise DataErrors(f"{root}: {len(errors)} of {len(results)} audio files are missing or bad", errors)
    audio = iter([result for result in results if not isinstance(result, DataError)])
    train = _recordings(root / "train", parts["train"], audio)
    return train, _recordings(root / "test", parts["test"], audio)


def _recordings(folder: Path, tables: Tables, audio: Iterator[tuple[Path, AudioInfo]]) -> list[Recording]:
    """The recordings of one part, which take what belongs to them from `audio`."""
    wavs, speakers, texts, genders, ages = (tables[name] for name in TABLES)
    good = {"spk2gender": ("f", "m"), "spk2age": [str(age) for age in range(1, 100)]}
    errors = [
        DataError(
            f"bad value of '{key}'", file=folder / name, row=row_of(tables[name], key),
            expected=f"{values[0]} to {values[-1]}" if len(values) > 2 else "f or m", found=f"'{value}'",
            fix="Correct it, or copy the file again",
        )
        for name, values in good.items() for key, value in tables[name].items() if value not in values
    ]  # fmt: skip
    if errors:
        raise DataErrors(f"{folder}: {len(errors)} speakers are wrongly described", errors)
    return [
        Recording(name, *next(audio), who, texts[name], genders[who], int(ages[who]))
        for name, who in ((name, speakers[name]) for name in wavs)
    ]


def _check_trials(path: Path, test: Sequence[Recording]) -> list[str]:
    """The lines of a trial list (`1 enrol test`), all about known utterances and rightly labelled."""
    speakers = {recording.id: recording.speaker for recording in test}
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip().splitlines() or [""]
    errors = []
    for row, line in enumerate(lines, start=1):
        label, *pair = line.split() or [""]
        if len(pair) != 2 or len(speakers.keys() & pair) != 2:
            expected = "a label and two utterances of wav.scp"
        elif label != str(int(speakers[pair[0]] == speakers[pair[1]])):
            expected = "1 for one speaker, 0 for two"
        else:
            continue
        fix = "Correct it, or remove the list: one will be drawn"
        errors.append(
            DataError("bad trial", file=path, row=row, expected=expected, found=f"'{line}'", fix=fix)
        )
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {len(lines)} trials are wrong", errors)
    return lines


def _draw_trials(test: Sequence[Recording]) -> list[str]:
    """A seeded list: `TARGETS` target pairs (or all) and `NONTARGETS` nontargets, `HARD_SHARE` of them hard.

    The others are spread evenly over other gender, other age band, and both.
    """
    rng = random.Random(SEED)
    by_speaker: dict[str, list[Recording]] = defaultdict(list)
    for recording in test:
        by_speaker[recording.speaker].append(recording)
    pairs = [pair for group in by_speaker.values() for pair in combinations(group, 2)]
    pairs = rng.sample(pairs, min(TARGETS, len(pairs)))
    kinds: dict[tuple[bool, bool], list[tuple[list[Recording], list[Recording]]]] = {}
    for a, b in combinations(by_speaker.values(), 2):
        kind = (a[0].gender == b[0].gender, (a[0].age < CHILD_BELOW) == (b[0].age < CHILD_BELOW))
        kinds.setdefault(kind, []).append((a, b))
    for kind, groups in sorted(kinds.items()):
        share = HARD_SHARE if kind == (True, True) else (1 - HARD_SHARE) / 3
        pairs += draw_between(groups, round(NONTARGETS * share), rng)
    rng.shuffle(pairs)
    return [_trial(a, b) for a, b in pairs]


def _trial(a: Recording, b: Recording) -> str:
    return f"{int(a.speaker == b.speaker)} {a.id} {b.id}"


def _write_part(path: Path, recordings: Sequence[Recording], *, described: bool) -> dict[str, int]:
    # The session stays empty: the corpus does not record it.
    columns = ["session", "gender", "age", "transcript", *(["text"] if described else [])]
    rows = []
    for r in recordings:
        text = [describe(r.gender, r.age)] if described else []
        file = [f"{DATA_ROOT}/{r.wav.as_posix()}", 0, r.info.samples]
        rows.append([r.id, r.info.seconds, *file, r.speaker, "", r.gender, r.age, r.transcript, *text])
    write_manifest(path, columns, rows)
    seconds = round(sum(recording.info.seconds for recording in recordings))
    values = {"utterances": len(rows), "speakers": len({r.speaker for r in recordings}), "seconds": seconds}
    return {f"{path.stem}_{name}": value for name, value in values.items()}


def _write_trials(path: Path, lines: Sequence[str]) -> dict[str, int]:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {path.stem: len(lines), f"{path.stem}_targets": sum(line.startswith("1") for line in lines)}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m data_prep.speechocean762", description=__doc__)
    parser.add_argument("data_folder", help="the folder that holds train, test and WAVE")
    parser.add_argument("output_folder", help="where the manifests and trial lists are written")
    parser.add_argument("--validation_speakers", type=int, default=20, help="0, or 2 to 20 (default)")
    prepared = prepare(**vars(parser.parse_args(arguments)))
    for name, count in prepared.counts.items():
        print(f"{name:24} {count:7,}")


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
