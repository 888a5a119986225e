"""The files that a preparation of VoxCeleb writes: manifests, what was left out, lists."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.corpora.voxceleb_tree import Recording, Tree
from cmd_speaker.files import write_atomically
from cmd_speaker.manifest import DATA_ROOT, write_manifest
from cmd_speaker.progress import track
from data_prep.voxceleb.faces import LEVELS, FaceFolders
from data_prep.voxceleb.metadata import Speaker, describe


@dataclass
class Rows:
    """The rows of manifests, and what metadata and faces lack for them."""

    known: Mapping[str, Speaker]
    faces: FaceFolders | None
    undescribed: set[str] = field(default_factory=set)
    unseen: set[str] = field(default_factory=set)

    def write(self, path: Path, recordings: Sequence[Recording], *, described: bool) -> dict[str, int]:
        """Write a manifest, or remove that of an earlier run where there is nothing to write; its counts."""
        if not recordings:
            path.unlink(missing_ok=True)
            return {}
        columns = ["session", *(["gender", "nationality"] if self.known else [])]
        columns += ["text"] * bool(described and self.known) + ["face"] * bool(described and self.faces)
        levels: Counter[str] = Counter()
        with write_atomically(path) as temporary:
            rows = self._rows(recordings, described, levels)
            write_manifest(temporary, columns, track(rows, f"Writing {path.name}", len(recordings)))
        seconds = round(sum(recording.samples for recording in recordings) / SAMPLE_RATE)
        speakers = len({recording.speaker for recording in recordings})
        counts = {"utterances": len(recordings), "speakers": speakers, "seconds": seconds}
        if described and self.faces:
            counts |= {f"face_of_{level}": levels[level] for level in LEVELS} | {"no_face": levels[""]}
        return {f"{path.stem}_{name}": count for name, count in counts.items()}

    def notes(self) -> Iterator[str]:
        """Which speakers have no text or no face."""
        for what, speakers in (("metadata", self.undescribed), ("a face", self.unseen)):
            if speakers:
                yield f"{len(speakers):,} speakers without {what}, the first is {min(speakers)}"

    def _rows(
        self, recordings: Sequence[Recording], described: bool, levels: Counter[str]
    ) -> Iterator[list[object]]:
        for recording in recordings:
            file = [recording.name, recording.samples / SAMPLE_RATE, f"{DATA_ROOT}/{recording.path}"]
            row = [*file, 0, recording.samples, recording.speaker, recording.session]
            if self.known:
                speaker = self.known.get(recording.speaker)
                if speaker is None:
                    self.undescribed.add(recording.speaker)
                row += [speaker.gender, speaker.nationality] if speaker else ["", ""]
                row += [describe(speaker) if speaker else ""] * described
            if self.faces and described:
                level, folder = self.faces.nearest(recording.name)
                levels[level] += 1
                if not level:
                    self.unseen.add(recording.speaker)
                row.append(folder)
            yield row


def write_left_out(tree: Tree, path: Path) -> Iterator[str]:
    """List the files that are not used although they are audio, each with its reason."""
    rows = [(name, str(error)) for name, error in sorted(tree.bad.items())]
    rows += [(name, "not at SPEAKER/VIDEO/UTTERANCE") for name in tree.misplaced]
    rows += [(name, "a link that leads nowhere") for name in tree.lost]
    if not rows:
        path.unlink(missing_ok=True)
        return
    with (
        write_atomically(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows([("file", "reason"), *rows])
    yield f"{len(rows):,} files were left out, see {path}"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, or remove that of an earlier run where there is nothing to write."""
    if not content:
        path.unlink(missing_ok=True)
        return
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)
