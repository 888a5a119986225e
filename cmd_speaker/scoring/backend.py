"""The back-end: everything between two embeddings and a score.

An embedding has the mean of a training set subtracted, if there is one, and is brought to length 1; the
scorer, the cosine or PLDA, compares two of them; a cohort normalises the score. All of it comes from
training or cohort data, never from the data that are scored (see `cmd_speaker.scoring.leakage`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.files import file_checksum, write_atomically
from cmd_speaker.scoring.directions import averaged, length_normalised
from cmd_speaker.scoring.enrolment import ENROLMENTS
from cmd_speaker.scoring.normalisation import DEFAULT_TOP, NORMS, Cohort, normalise
from cmd_speaker.scoring.plda import Plda, Points

FILE_NAME = "backend.safetensors"
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Backend:
    """A plain cosine unless it is told otherwise.

    `mean` is float32 [D]; `cohort` float32 [C, D], mean-subtracted and of length 1; `norm` one of `NORMS`;
    `top` the number of cohort entries that AS-norm and the quality measure take; `enrolment` one of
    `ENROLMENTS`. `sources` says which files `mean`, `plda` and `cohort` come from.

    Raises `UsageError` for settings that do not fit together.
    """

    mean: np.ndarray | None = None
    plda: Plda | None = None
    cohort: np.ndarray | None = None
    norm: str = "none"
    top: int = DEFAULT_TOP
    enrolment: str = "average"
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, allowed in (("norm", self.norm, NORMS), ("enrol", self.enrolment, ENROLMENTS)):
            if value not in allowed:
                raise UsageError(f"--{name} is one of {', '.join(allowed)}, found '{value}'")
        if self.cohort is None and self.norm != "none":
            raise UsageError(f"--norm {self.norm} needs a cohort: give its embeddings with --cohort")
        if self.norm == "as":
            self.check_top()

    @classmethod
    def fit(
        cls,
        *,
        mean_from: Embeddings | None = None,
        plda_from: Embeddings | None = None,
        plda_speakers: Mapping[str, str] | None = None,
        plda_rank: int | None = None,
        cohort: Embeddings | None = None,
        cohort_speakers: Mapping[str, str] | None = None,
        norm: str = "none",
        top: int = DEFAULT_TOP,
        enrolment: str = "average",
    ) -> Backend:
        """A back-end with the mean of `mean_from`, PLDA trained on `plda_from`, and a cohort.

        PLDA without `mean_from` subtracts the mean of its own training data. With `cohort_speakers`
        (utterance -> speaker) the cohort has one entry a speaker, the mean of their length-normalised embeddings.

        Raises `UsageError` for settings that do not fit together, and `DataError` for data that do not.
        """
        given = {"mean": mean_from or plda_from, "plda": plda_from, "cohort": cohort}
        sources = {role: _source(data) for role, data in given.items() if data is not None}
        mean = None
        if given["mean"] is not None:
            mean = given["mean"].vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        prepare = cls(mean).prepare
        plda, entries = None, None
        if plda_from is not None:
            if plda_speakers is None:
                raise UsageError("PLDA needs the speakers of its training data: give --plda-speakers")
            plda = Plda.fit(prepare(plda_from), speakers_of(plda_from, plda_speakers), plda_rank)
        if cohort is not None:
            entries = prepare(cohort)
            if cohort_speakers is not None:
                entries = _by_speaker(entries, speakers_of(cohort, cohort_speakers))
            sources["cohort"]["count"] = len(entries)
        return cls(mean, plda, entries, norm, top, enrolment, sources)

    def check_top(self) -> None:
        """Raise `UsageError` unless there is a cohort of at least `top` entries."""
        if self.cohort is None:
            raise UsageError("cohort means need a cohort: give its embeddings with --cohort")
        if not 1 <= self.top <= len(self.cohort):
            raise UsageError(
                f"--top goes from 1 to the {len(self.cohort)} entries of the cohort, found {self.top}"
                f"{' (unless given)' if self.top == DEFAULT_TOP else ''}; give a smaller --top, or a larger cohort"
            )

    @property
    def normalises(self) -> bool:
        return self.norm != "none"

    @property
    def size(self) -> int | None:
        """The number of dimensions that embeddings must have; None where any will do."""
        known = [array.shape[-1] for array in (self.mean, self.cohort) if array is not None]
        return known[0] if known else None

    def prepare(self, embeddings: Embeddings) -> np.ndarray:
        """The embeddings with the mean subtracted, brought to length 1: float32 [N, D].

        Raises `DataError` for another `size`, and for embeddings without direction.
        """
        vectors = embeddings.vectors
        if self.size not in (None, vectors.shape[1]):
            raise DataError(
                "embeddings of another model", file=embeddings.path,
                expected=f"{self.size} dimensions as in the mean or cohort", found=vectors.shape[1],
                fix="Take all embeddings from one model",
            )  # fmt: skip
        if self.mean is not None:
            vectors = vectors - self.mean
        return length_normalised(Embeddings(embeddings.ids, vectors, embeddings.path))

    def points(self, unit: np.ndarray) -> Points:
        """Prepared embeddings [N, D] as the scorer sees them."""
        return Points(unit, None) if self.plda is None else self.plda.points(unit)

    @cached_property
    def cohort_points(self) -> Cohort | None:
        """The cohort with what its statistics need; None without one."""
        if self.cohort is None:
            return None
        return Cohort(self.points(self.cohort), self.top if self.norm == "as" else None)

    def statistics(self, points: Points, names: Sequence[str]) -> np.ndarray:
        """What normalisation needs to know of N utterances, called `names` in errors: float64 [N, 2].

        Raises `DataError` where the cohort scores of one do not differ.
        """
        assert self.cohort_points is not None, "a back-end that normalises has a cohort"
        statistics = self.cohort_points.statistics(points)
        self.cohort_points.check(points, statistics, names)
        return statistics

    def score(self, enrol: np.ndarray, test: np.ndarray) -> np.ndarray:
        """The scores of all pairs of embeddings [E, D] and [T, D], as a model gives them: float32 [E, T].

        Raises `DataError` as `prepare` and `statistics` do.
        """
        sides, statistics = [], []
        for name, vectors in (("enrolment", enrol), ("test", test)):
            embeddings = _numbered(name, vectors)
            points = self.points(self.prepare(embeddings))
            sides.append(points)
            statistics.append(
                self.statistics(points, embeddings.ids) if self.normalises else np.empty((0, 2))
            )
        return normalise(score_all(*sides), self.norm, statistics[0][:, np.newaxis], statistics[1])

    def cohort_means(self, vectors: np.ndarray) -> np.ndarray:
        """The mean of the `top` highest cohort scores of each embedding [N, D]: float64 [N].

        Raises `UsageError` without so large a cohort, and `DataError` as `prepare` does.
        """
        self.check_top()
        return self.top_means(self.points(self.prepare(_numbered("embedding", vectors))))

    def top_means(self, points: Points) -> np.ndarray:
        """`cohort_means` of what is prepared already."""
        assert self.cohort_points is not None
        return self.cohort_points.top_mean(points, self.top)

    def description(self) -> dict[str, Any]:
        """The settings and where everything comes from, for records and reports."""
        found = {
            "scorer": "cosine" if self.plda is None else "plda",
            "enrolment": self.enrolment,
            "mean": self.sources.get("mean"),
            "norm": self.norm,
            "top": None if self.cohort is None else self.top,
            "cohort": self.sources.get("cohort"),
        }
        if self.plda is not None:
            found["plda"] = {**self.sources.get("plda", {}), "rank": self.plda.rank}
        return found

    def save(self, folder: str | Path) -> None:
        """Write `backend.safetensors` into a folder, whole or not at all: no code, no pickle."""
        from safetensors.numpy import save

        tensors = {"mean": self.mean, "cohort": self.cohort}
        if self.plda is not None:
            tensors |= {f"plda.{name}": getattr(self.plda, name) for name in ("mean", "basis", "psi")}
        settings = {
            "format_version": FORMAT_VERSION,
            "norm": self.norm, "top": self.top, "enrolment": self.enrolment, "sources": self.sources,
        }  # fmt: skip
        data = save(
            {name: np.ascontiguousarray(array) for name, array in tensors.items() if array is not None},
            metadata={"backend": json.dumps(settings, ensure_ascii=False)},
        )
        with write_atomically(Path(folder) / FILE_NAME) as temporary:
            temporary.write_bytes(data)

    @classmethod
    def load(cls, folder: str | Path) -> Backend:
        """Read what `save` wrote; a folder without the file stands for the plain cosine.

        Raises `DataError` for a file that is not as it was written.
        """
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            return cls()
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                settings = json.loads((file.metadata() or {})["backend"])
            version = settings.pop("format_version")
            if version != FORMAT_VERSION:
                raise ValueError(f"format version {version}, known is {FORMAT_VERSION}")
            plda = [tensors.pop(f"plda.{name}", None) for name in ("mean", "basis", "psi")]
            return cls(plda=None if plda[0] is None else Plda(*plda), **tensors, **settings)
        except (SafetensorError, KeyError, TypeError, ValueError, UsageError) as error:
            raise DataError(
                "the back-end cannot be read", file=path, expected=f"a file as {cls.__name__}.save writes it",
                found=error, fix="Copy the folder again, or make the back-end again",
            ) from error  # fmt: skip


def score_all(enrol: Points, test: Points) -> np.ndarray:
    """The scores of all pairs before normalisation: float32 [E, T], a cosine within [-1, 1]."""
    scores = enrol.vectors @ test.vectors.T
    if enrol.offsets is None or test.offsets is None:
        return np.clip(scores, -1, 1, out=scores)
    scores += enrol.offsets[:, np.newaxis]
    scores += test.offsets
    return scores


def _numbered(name: str, vectors: np.ndarray) -> Embeddings:
    """Embeddings [N, D] without ids, called by their numbers in errors."""
    ids = [f"{name} {k + 1}" for k in range(len(vectors))]
    return Embeddings(ids, np.asarray(vectors, dtype=np.float32))


def _by_speaker(unit: np.ndarray, speakers: Sequence[str]) -> np.ndarray:
    """The mean of every speaker's rows, brought to length 1, in sorted order of the names: float32 [S, D]."""
    names, numbers = np.unique(np.asarray(speakers), return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    return averaged(unit[order], np.searchsorted(numbers[order], np.arange(len(names))), names.tolist())


def speakers_of(embeddings: Embeddings, utt2spk: Mapping[str, str]) -> list[str]:
    """The speaker of every embedding; raises `DataError` where the list lacks one."""
    lacking = [name for name in embeddings.ids if name not in utt2spk]
    if lacking:
        raise DataError(
            f"no speaker of '{lacking[0]}'", file=embeddings.path, expected="all utterances in the list",
            found=f"{len(lacking)} of {len(embeddings)} utterances without", fix="Complete the list",
        )  # fmt: skip
    return [utt2spk[name] for name in embeddings.ids]


def _source(embeddings: Embeddings) -> dict[str, Any]:
    """Name, checksum and number of the embeddings that something was made of."""
    path = embeddings.path
    known = {"name": path.name, "sha256": file_checksum(path)} if path else {"name": None, "sha256": None}
    return {**known, "count": len(embeddings)}
