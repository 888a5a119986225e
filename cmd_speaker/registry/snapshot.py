"""What a process has read of a registry: names and voices, ready for a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cmd_speaker.gallery import Voices
from cmd_speaker.registry.enrolled import Content


@dataclass(frozen=True, eq=False)
class Snapshot:
    """R recordings in the order of their enrolment; `owners` [R] are places in `names`.

    `after` is the id of the last row, `forgotten` the number of deletions when it was read.
    """

    forgotten: int = 0
    after: int = 0
    names: tuple[str, ...] = ()
    owners: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    seconds: np.ndarray = field(default_factory=lambda: np.empty(0))
    vectors: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def extended(self, after: int, contents: Sequence[Content]) -> Snapshot:
        """With more recordings, the last of which has the id `after`.

        Raises `ValueError` for embeddings of another size.
        """
        places = {name: place for place, name in enumerate(self.names)}
        owners = [places.setdefault(each.name, len(places)) for each in contents]
        joined = b"".join(each.vector for each in contents)
        vectors = np.frombuffer(joined, dtype="<f4").reshape(len(contents), -1)
        if len({len(each.vector) for each in contents}) > 1 or (
            len(self.vectors) and vectors.shape[1] != self.vectors.shape[1]
        ):
            raise ValueError("embeddings of several sizes")
        return Snapshot(
            self.forgotten,
            after,
            tuple(places),
            np.concatenate([self.owners, owners]).astype(np.int64),
            np.concatenate([self.seconds, [each.seconds for each in contents]]),
            np.concatenate([self.vectors, vectors]) if len(self.vectors) else vectors.astype(np.float32),
        )

    def voices(self) -> Voices:
        """The recordings speaker by speaker, in the order of `names`."""
        order = np.argsort(self.owners, kind="stable")
        starts = np.searchsorted(self.owners[order], np.arange(len(self.names)))
        in_order = bool((order == np.arange(len(order))).all())
        vectors = self.vectors if in_order else self.vectors[order]
        return Voices(vectors, self.seconds[order], starts)
