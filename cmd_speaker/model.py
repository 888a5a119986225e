"""SpeakerModel: a model folder in, embeddings out. Needs no recipe, no teacher, no YAML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cmd_speaker.audio import SAMPLE_RATE, check_samples, read_audio, resample
from cmd_speaker.encoder import SpeakerEncoder, check_device, embed_all
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.manifest import Utterance
from cmd_speaker.model_folder import load_model_folder, save_model_folder

AudioLike = str | Path | np.ndarray | torch.Tensor
Damage = Callable[[Utterance, np.ndarray], np.ndarray]
"""Makes other samples [n] of an utterance's."""


class SpeakerModel:
    """A trained speaker encoder.

    ```python
    model = SpeakerModel.load("run/model")
    model.similarity("a.wav", "b.wav")   # cosine in [-1, 1]
    model.embed("a.wav")                 # float32 [D]
    ```
    """

    def __init__(self, encoder: SpeakerEncoder, description: dict[str, Any] | None = None) -> None:
        self.encoder = encoder.eval()
        self.description = description or {}

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> SpeakerModel:
        """Load a model folder; checksums and self-test are verified, no code of the folder is run.

        Raises `UsageError` for a device that is not there, and `DataError` for a folder that is not as it was
        written.
        """
        check_device(device)
        return cls(*load_model_folder(folder, device))

    def save(self, folder: str | Path, provenance: dict[str, Any] | None = None) -> None:
        """Write a model folder (see `cmd_speaker.model_folder`)."""
        provenance = provenance or self.description.get("provenance", {})
        self.description = save_model_folder(folder, self.encoder, provenance)

    @property
    def device(self) -> torch.device:
        return next(self.encoder.student.parameters()).device

    @property
    def checksum(self) -> str:
        """What tells this model from all others: that of its description, weights included.

        Raises `UsageError` for a model that was never saved.
        """
        if "checksum" not in self.description:
            raise UsageError("a model has a checksum once it was saved")
        return str(self.description["checksum"])

    @property
    def embedding_size(self) -> int:
        return int(self.encoder.student.embedding_size)

    def embed(self, audio: AudioLike, sample_rate: int = SAMPLE_RATE, *, convert: bool = False) -> np.ndarray:
        """One embedding, float32 [D], not length-normalised.

        `audio` is a path, or samples [n] in [-1, 1] at `sample_rate` Hz. `convert` allows a file at
        another rate or with several channels (see `cmd_speaker.audio.read_audio`).

        Raises `DataError` for audio that gives no trustworthy embedding.
        """
        if isinstance(audio, str | Path):
            samples = read_audio(audio, convert=convert)
        else:
            samples = np.asarray(audio, dtype=np.float32)
            if samples.ndim != 1:
                raise DataError("samples must have one dimension", expected="[samples]", found=samples.shape)
            if sample_rate != SAMPLE_RATE:
                samples = resample(samples, sample_rate, SAMPLE_RATE)
            check_samples(samples, SAMPLE_RATE)
        return next(embed_all(self.encoder, [("", samples)], device=self.device))[1]

    def similarity(self, a: AudioLike, b: AudioLike, *, convert: bool = False) -> float:
        """Cosine of two recordings' embeddings, in [-1, 1]."""
        first, second = self.embed(a, convert=convert), self.embed(b, convert=convert)
        return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))

    def embed_utterances(
        self,
        utterances: Sequence[Utterance],
        on_error: Callable[[DataError], None],
        *,
        convert: bool = False,
        list_path: str | Path | None = None,
        damage: Damage | None = None,
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (id, embedding [D]) in order; a bad file is reported through `on_error` and left out.

        `list_path` is the manifest or list from which the utterances come, named in errors. `damage` makes of an
        utterance's samples those that are embedded.
        """

        def readable() -> Iterator[tuple[str, np.ndarray]]:
            for utterance in utterances:
                try:
                    samples = read_utterance(utterance, convert=convert)
                    yield utterance.id, damage(utterance, samples) if damage else samples
                except DataError as error:
                    on_error(error.at(list_path, utterance.row) if list_path else error)

        rows = {utterance.id: utterance.row for utterance in utterances} if list_path else {}
        for name, vector in embed_all(self.encoder, readable(), device=self.device):
            if np.isfinite(vector).all():
                yield name, vector
                continue
            error = DataError(
                f"the embedding of '{name}' is not finite", expected="samples in [-1, 1]",
                found="samples so large that the features overflow", fix="Write the file again from its source",
            )  # fmt: skip
            on_error(error.at(list_path, rows.get(name)) if list_path else error)


def read_utterance(utterance: Utterance, *, convert: bool = False) -> np.ndarray:
    """The samples of one manifest row, float32 [n] at 16 kHz."""
    return read_audio(
        utterance.wav,
        start=utterance.start,
        stop=utterance.stop,
        seconds=utterance.duration,
        convert=convert,
    )
