"""SpeakerModel: a model folder in, embeddings out. Needs no recipe, no teacher, no YAML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.encoder import SpeakerEncoder, check_device
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.hearing import (
    MAX_SECONDS,
    AudioLike,
    Heard,
    Hearing,
    audio_blocks,
    hear,
    hear_audio,
    path_of,
    read_utterance,
)
from cmd_speaker.listening import Listening, embed_heard
from cmd_speaker.manifest import Utterance
from cmd_speaker.model_folder import load_model_folder, save_model_folder
from cmd_speaker.recording import Recording
from cmd_speaker.streams import read_blocks
from cmd_speaker.windows import EmbeddedWindow, Windows, each_window, embed_windows

if TYPE_CHECKING:
    from cmd_speaker.decision import Decider, Verification
    from cmd_speaker.evaluation.operating_point import OperatingPoint

Damage = Callable[[Utterance, np.ndarray], np.ndarray]
"""Makes other samples [n] of an utterance's; called in threads."""


class SpeakerModel:
    """A trained speaker encoder.

    ```python
    model = SpeakerModel.load("run/model")
    model.similarity("a.wav", "b.wav")   # cosine in [-1, 1]
    model.embed("a.wav")                 # float32 [D]
    model.embed_windows("meeting.wav", window=3, hop=1)   # of any length, in bounded memory
    ```

    Threads may share one; each gets the bits that it would get alone.
    """

    def __init__(
        self,
        encoder: SpeakerEncoder,
        description: dict[str, Any] | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.encoder = encoder.eval()
        self.description = description or {}
        self.folder = None if folder is None else Path(folder)

    @classmethod
    def load(
        cls, folder: str | Path, device: str | torch.device = "cpu", engine: str = "torch"
    ) -> SpeakerModel:
        """Load a model folder; checksums and self-test are verified, no code of the folder is run.

        `engine` "onnxruntime" embeds faster on a CPU, and takes seconds to load (`cmd_speaker.engine`). Raises
        `UsageError` for a device or an engine that is not there, `DataError` for a folder that is not as it was
        written.
        """
        check_device(device)
        if engine == "torch":
            return cls(*load_model_folder(folder, device), folder)
        from cmd_speaker.engine import check_engine, in_onnxruntime

        check_engine(engine, device)
        return in_onnxruntime(cls(*load_model_folder(folder, device), folder))

    def save(self, folder: str | Path, provenance: dict[str, Any] | None = None) -> None:
        """Write a model folder (see `cmd_speaker.model_folder`)."""
        provenance = provenance or self.description.get("provenance", {})
        self.description = save_model_folder(folder, self.encoder, provenance)
        self.folder = Path(folder)

    @property
    def device(self) -> torch.device:
        return torch.device(next(self.encoder.student.parameters()).device)

    @property
    def engine(self) -> str:
        """What computes the embeddings: torch or onnxruntime."""
        return self.encoder.engine

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

    def embed(
        self,
        audio: AudioLike,
        sample_rate: int = SAMPLE_RATE,
        *,
        convert: bool = False,
        vad: bool = False,
        window: float | None = None,
        hop: float | None = None,
    ) -> np.ndarray:
        """One embedding, float32 [D], not length-normalised.

        `audio` is a path, the bytes of an audio file, an open file, samples [n] or [1, n] in [-1, 1] at
        `sample_rate` Hz, or an iterable of such samples in chunks. `convert` allows a file at another rate or with
        several channels (see `cmd_speaker.audio.read_audio`). `vad` takes out what is no speech; `window` and
        `hop`, in seconds, give the mean of windows, in bounded memory.

        Raises `DataError` for audio that gives no trustworthy embedding.
        """
        recording = self.recording(audio, sample_rate, convert=convert, vad=vad, window=window, hop=hop)
        return recording.embedding

    def recording(
        self,
        audio: AudioLike,
        sample_rate: int = SAMPLE_RATE,
        *,
        convert: bool = False,
        vad: bool = False,
        window: float | None = None,
        hop: float | None = None,
    ) -> Recording:
        """As `embed`, with the seconds that were embedded and the length of the recording."""
        hearing = Hearing(convert, vad, window, hop)
        if hearing.window is not None:
            blocks = audio_blocks(audio, sample_rate, hearing)
            return self._own(embed_windows(self.encoder, blocks, hearing, path_of(audio)).mean())
        hearing.check()
        item = Listening(partial(hear_audio, audio, sample_rate, hearing), path_of(audio))
        recording = item.recording(next(embed_heard(self.encoder, [item]))[1])
        assert recording is not None
        return self._own(recording)

    def embed_windows(
        self,
        audio: AudioLike,
        sample_rate: int = SAMPLE_RATE,
        *,
        window: float,
        hop: float | None = None,
        convert: bool = False,
        vad: bool = False,
    ) -> Windows:
        """Windows of `window` seconds, each `hop` seconds (a window, unless given) after the one before.

        The last window ends with the recording; a recording that is shorter than a window is one. With `vad` an
        embedding is that of the speech in its window. Raises `DataError` as `embed` does, and where there is
        nothing to hear in any window.
        """
        hearing = Hearing(convert, vad, window, hop)
        blocks = audio_blocks(audio, sample_rate, hearing)
        return embed_windows(self.encoder, blocks, hearing, path_of(audio))

    def stream_windows(
        self,
        audio: AudioLike,
        sample_rate: int = SAMPLE_RATE,
        *,
        window: float,
        hop: float | None = None,
        convert: bool = False,
        vad: bool = False,
    ) -> Iterator[EmbeddedWindow]:
        """As `embed_windows`, each window as soon as its last chunk is there: for live audio."""
        hearing = Hearing(convert, vad, window, hop)
        blocks = audio_blocks(audio, sample_rate, hearing)
        return each_window(self.encoder, blocks, hearing, path_of(audio), read_ahead=1)

    def similarity(
        self,
        a: AudioLike,
        b: AudioLike,
        sample_rate: int = SAMPLE_RATE,
        *,
        convert: bool = False,
        vad: bool = False,
    ) -> float:
        """Cosine of two recordings' embeddings, in [-1, 1]."""
        first, second = (self.embed(side, sample_rate, convert=convert, vad=vad) for side in (a, b))
        cosine = float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
        return min(1.0, max(-1.0, cosine))  # Rounding may lead beyond.

    def verify(
        self,
        a: AudioLike,
        b: AudioLike,
        sample_rate: int = SAMPLE_RATE,
        *,
        convert: bool = False,
        vad: bool = False,
        point: OperatingPoint | None = None,
    ) -> Verification:
        """Do two recordings have the same speaker?

        A calibrated model decides by the log-likelihood ratio, for the prior and the costs of `point` (the
        calibration's own prior, unless given); without a calibration there is a score, and no decision. Raises
        `DataError` for audio that gives no trustworthy embedding, `UsageError` for a point without calibration.
        """
        decider = self.decider()
        first, second = (self.recording(side, sample_rate, convert=convert, vad=vad) for side in (a, b))
        return decider.verify(first, second, point)

    def decider(self) -> Decider:
        """The back-end and the calibration of the model's folder; a cosine for a model that has none.

        Raises `DataError` where they are damaged or another model's.
        """
        from cmd_speaker.decision import Decider
        from cmd_speaker.scoring.backend import Backend

        return Decider(Backend()) if self.folder is None else Decider.load(self.folder, self.checksum)

    def embed_utterances(
        self,
        utterances: Sequence[Utterance],
        on_error: Callable[[DataError], None],
        *,
        hearing: Hearing | None = None,
        list_path: str | Path | None = None,
        damage: Damage | None = None,
    ) -> Iterator[tuple[str, Recording]]:
        """Yield (id, recording) in order; a bad file is reported through `on_error` and left out.

        `list_path` is the manifest or list from which the utterances come, named in errors. `damage` makes of an
        utterance's samples those that are embedded.
        """
        chosen = hearing or Hearing()
        chosen.check()

        def hear_one(utterance: Utterance) -> Heard:
            samples = read_utterance(utterance, convert=chosen.convert, max_seconds=MAX_SECONDS)
            return hear(damage(utterance, samples) if damage else samples, chosen, utterance.wav)

        def recordings() -> Iterator[Callable[[], Recording | None]]:
            if chosen.window is not None:
                yield from (partial(self._in_windows, utterance, chosen) for utterance in utterances)
                return
            items = (Listening(partial(hear_one, each), each.wav) for each in utterances)
            yield from (partial(item.recording, vector) for item, vector in embed_heard(self.encoder, items))

        for utterance, finish in zip(utterances, recordings(), strict=True):
            try:
                recording = finish()
            except DataError as error:
                on_error(error.at(list_path, utterance.row) if list_path else error)
                continue
            assert recording is not None
            yield utterance.id, self._own(recording)

    def _own(self, recording: Recording) -> Recording:
        return replace(recording, model=self.description.get("checksum"))

    def _in_windows(self, utterance: Utterance, hearing: Hearing) -> Recording:
        blocks = read_blocks(
            utterance.wav, start=utterance.start, stop=utterance.stop, seconds=utterance.duration,
            convert=hearing.convert,
        )  # fmt: skip
        return embed_windows(self.encoder, blocks, hearing, utterance.wav).mean()
