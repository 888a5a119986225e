"""librispeech_mini: a test manifest and a trial list, for a look outside the training domain.

Most speakers have one utterance only, which is cut into two halves: such targets are one recording,
and their error rate is optimistic. Reads 396 utterances of LibriSpeech (V. Panayotov et al., ICASSP
2015). The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from cmd_speaker.audio import DURATION_TOLERANCE, AudioInfo
from cmd_speaker.corpora import CORPORA
from cmd_speaker.errors import DataError, DataErrors, exit_code_of
from cmd_speaker.kaldi import Listed, folder_content, probe_listed
from cmd_speaker.manifest import DATA_ROOT, write_manifest

SEED = 261
NONTARGETS_PER_TARGET = 10
SAME_GENDER_SHARE = 0.5
"""Share of the nontargets whose two speakers have the same gender."""
SPEAKER_COLUMNS = ("speaker", "gender")
UTTERANCE_COLUMNS = ("path", "speaker", "session", "subset", "seconds", "source_utterance")


@dataclass(frozen=True)
class Prepared:
    """The files that `prepare` wrote and what they hold."""

    test: Path
    test_trials: Path
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Segment:
    """An utterance, or half of one: samples `start` to `stop` of the file `wav`."""

    id: str
    wav: str
    start: int
    stop: int
    rate: int
    speaker: str
    session: str
    gender: str
    subset: str


def prepare(data_folder: str | Path, output_folder: str | Path) -> Prepared:
    """Write test.csv and test_trials.txt (`1 enrol test`).

    Targets are all pairs of one speaker; nontargets are drawn, `NONTARGETS_PER_TARGET` for each target,
    `SAME_GENDER_SHARE` of them of one gender. The counts say how many targets are halves of one
    utterance, are of one chapter, or join two chapters.

    Raises `DataError` or `DataErrors` (the corpus is not complete); nothing is written then.
    """
    root, output = Path(data_folder), Path(output_folder)
    segments = _segments(root)
    targets = [(a, b) for a, b in combinations(segments, 2) if a.speaker == b.speaker]
    nontargets = _draw_nontargets(segments, NONTARGETS_PER_TARGET * len(targets))
    output.mkdir(parents=True, exist_ok=True)
    test, trials = output / "test.csv", output / "test_trials.txt"
    rows = [
        [
            s.id,
            (s.stop - s.start) / s.rate,
            f"{DATA_ROOT}/{s.wav}",
            s.start,
            s.stop,
            s.speaker,
            s.session,
            s.gender,
            s.subset,
        ]
        for s in segments
    ]
    write_manifest(test, ("session", "gender", "subset"), rows)
    lines = [f"{int(a.speaker == b.speaker)} {a.id} {b.id}\n" for a, b in targets + nontargets]
    trials.write_text("".join(lines), encoding="utf-8")
    halves = sum(a.wav == b.wav for a, b in targets)
    chapters = sum(a.session != b.session for a, b in targets)
    counts = {
        "segments": len(segments),
        "speakers": len({s.speaker for s in segments}),
        "targets": len(targets),
        "targets_halves_of_one_utterance": halves,
        "targets_of_one_chapter": len(targets) - halves - chapters,
        "targets_of_two_chapters": chapters,
        "nontargets": len(nontargets),
        "nontargets_same_gender": sum(a.gender == b.gender for a, b in nontargets),
    }
    return Prepared(test, trials, counts)


def _segments(root: Path) -> list[Segment]:
    """Whole utterances, or the two halves of a speaker's only one, in the order of utterances.csv."""
    if not (root / "utterances.csv").is_file() or not (root / "speakers.csv").is_file():
        raise DataError(
            "not the librispeech_mini corpus", file=root, expected=f"\n{CORPORA['librispeech_mini'].tree}\n",
            found=folder_content(root), fix="Give the folder that holds speakers.csv, utterances.csv and wav",
        )  # fmt: skip
    genders = {row["speaker"]: row["gender"] for row in _read_csv(root / "speakers.csv", SPEAKER_COLUMNS)}
    rows = _read_csv(root / "utterances.csv", UTTERANCE_COLUMNS)
    audio = _check(root / "utterances.csv", rows, genders)
    count: dict[str, int] = defaultdict(int)
    for row in rows:
        count[row["speaker"]] += 1
    segments = []
    for row, (wav, info) in zip(rows, audio, strict=True):
        name, middle = row["source_utterance"], info.samples // 2
        pieces = [(name, 0, info.samples)]
        if count[row["speaker"]] == 1:
            pieces = [(f"{name}_a", 0, middle), (f"{name}_b", middle, info.samples)]
        segments += [
            Segment(
                piece, wav.as_posix(), start, stop, info.sample_rate, row["speaker"], row["session"],
                genders[row["speaker"]], row["subset"],
            )
            for piece, start, stop in pieces
        ]  # fmt: skip
    return segments


def _read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table that has at least `columns`, each with a value."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        found = reader.fieldnames or []
        rows = list(reader)
    if not rows or not set(columns) <= set(found):
        raise DataError(
            "columns or rows are missing", file=path, row=1, expected=",".join(columns),
            found=f"{','.join(found) or 'an empty file'} and {len(rows)} rows", fix="Copy it again",
        )  # fmt: skip
    errors = [
        DataError("a value is missing", file=path, row=number, expected=f"{', '.join(columns)} filled",
                  found=f"no {', '.join(name for name in columns if not row[name])}", fix="Copy it again")
        for number, row in enumerate(rows, start=2) if not all(row[name] for name in columns)
    ]  # fmt: skip
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {len(rows)} rows are wrong", errors)
    return rows


def _check(
    path: Path, rows: Sequence[Mapping[str, str]], genders: Mapping[str, str]
) -> list[tuple[Path, AudioInfo]]:
    """The audio of each row; raises for all rows with a wrong speaker, name, file or length."""
    seen: dict[str, int] = {}
    listed = [Listed(path, number, row["path"]) for number, row in enumerate(rows, start=2)]
    results = probe_listed(path.parent, listed)
    errors = [result for result in results if isinstance(result, DataError)]
    audio = []
    for number, (row, result) in enumerate(zip(rows, results, strict=True), start=2):
        name, speaker = row["source_utterance"], row["speaker"]
        if name in seen:
            expected, found = "each utterance once", f"'{name}' in row {seen[name]} too"
        elif genders.get(speaker) not in ("f", "m"):
            expected, found = f"gender f or m of '{speaker}' in speakers.csv", f"'{genders.get(speaker, '')}'"
        elif isinstance(result, DataError):
            continue
        elif not _is_length(row["seconds"], result[1].seconds):
            expected, found = f"{row['seconds']} s", f"{result[1].seconds:.3f} s in {result[0]}"
        else:
            seen[name] = number
            audio.append(result)
            continue
        errors.append(
            DataError(f"'{name}' does not fit", file=path, row=number, expected=expected, found=found,
                      fix="Copy the corpus again")
        )  # fmt: skip
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {len(rows)} utterances are wrong", errors)
    return audio


def _is_length(stated: str, seconds: float) -> bool:
    try:
        return abs(float(stated) - seconds) <= DURATION_TOLERANCE
    except ValueError:
        return False


def _draw_nontargets(segments: Sequence[Segment], count: int) -> list[tuple[Segment, Segment]]:
    """`count` pairs of two speakers, or as many as there are; `SAME_GENDER_SHARE` of one gender."""
    rng = random.Random(SEED)
    same: list[tuple[Segment, Segment]] = []
    other: list[tuple[Segment, Segment]] = []
    for a, b in combinations(segments, 2):
        if a.speaker != b.speaker:
            (same if a.gender == b.gender else other).append((a, b))
    wanted = round(count * SAME_GENDER_SHARE)
    return [
        *rng.sample(same, min(wanted, len(same))),
        *rng.sample(other, min(count - wanted, len(other))),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m data_prep.librispeech_mini", description=__doc__)
    parser.add_argument("data_folder", help="the folder that holds speakers.csv, utterances.csv and wav")
    parser.add_argument("output_folder", help="where the manifest and the trial list are written")
    prepared = prepare(**vars(parser.parse_args(arguments)))
    for name, count in prepared.counts.items():
        print(f"{name:32} {count:7,}")


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
