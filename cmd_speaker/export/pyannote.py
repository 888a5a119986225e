"""A model folder as the speaker embedding of pyannote.audio 4, for its diarisation pipeline.

Needs pyannote.audio (`pip install 'cmd-speaker[pyannote]'`). Nothing is written: the pipeline takes the model as
an object, and pyannote's own checkpoints, which are pickles, are not involved.
"""

from __future__ import annotations

from pathlib import Path

import torch
from pyannote.audio import Model
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.core import SlidingWindow
from torch import Tensor
from torch.nn.functional import interpolate

from cmd_speaker.audio import MIN_SECONDS, SAMPLE_RATE, SILENCE
from cmd_speaker.errors import DataError
from cmd_speaker.features import mean_normalise
from cmd_speaker.model import SpeakerModel

CHUNK_SECONDS = 5.0
"""The chunk of pyannote's `Inference` where it slides a window and is not told how long."""
MIN_SAMPLES = round(MIN_SECONDS * SAMPLE_RATE)
HEARD = 0.5
"""A frame is a speaker's where its weight is larger."""


class PyannoteSpeakerModel(Model):
    """A speaker encoder as a pyannote.audio `Model`.

    ```python
    embedding = PyannoteSpeakerModel.load("MODEL")
    SpeakerDiarization(embedding=embedding, clustering="AgglomerativeClustering")
    ```

    A mask picks frames of the features, which are computed over the whole chunk; those that are left are
    normalised and embedded as if they followed each other, as pyannote.audio's wrapper of WeSpeaker's ONNX models
    does it. Its torch models weigh their statistics pooling instead, which a student of this library may lack.
    """

    def __init__(self, model: SpeakerModel) -> None:
        super().__init__(sample_rate=SAMPLE_RATE)
        self.encoder = model.encoder
        self.specifications = Specifications(
            problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=CHUNK_SECONDS
        )
        self.eval()

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> PyannoteSpeakerModel:
        """Load a model folder; raises as `SpeakerModel.load`."""
        return cls(SpeakerModel.load(folder, device)).to(device)

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return int(self.encoder.student.embedding_size)

    @property
    def receptive_field(self) -> SlidingWindow:
        """What one embedding hears: a whole chunk. `Inference` asks every model before it slides a window."""
        return SlidingWindow(start=0.0, duration=CHUNK_SECONDS, step=CHUNK_SECONDS)

    # pyannote.audio's base class takes any keyword; like its own models, this one takes no other than `weights`.
    def forward(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Waveforms [batch, 1, samples] at 16 kHz -> embeddings [batch, D], not length-normalised.

        `weights` are [batch, frames], or [batch, speakers, frames] for embeddings [batch, speakers, D]; they are
        spread over the frames of the features (nearest) and keep those above 0.5. Where less than 0.1 s is
        kept, or nothing but silence, the embedding is NaN: the pipeline's clustering leaves such rows out.

        Raises `DataError` for other shapes, and without weights for chunks under 0.1 s (from which pyannote.audio
        learns what the shortest chunk is).
        """
        _check_shapes(waveforms, weights)
        if weights is None:
            if waveforms.shape[-1] < MIN_SAMPLES:
                raise DataError(
                    "too short to embed",
                    expected=f"at least {MIN_SAMPLES} samples",
                    found=waveforms.shape[-1],
                )
            weights = waveforms.new_ones(len(waveforms), 1)
        masks = weights if weights.ndim == 3 else weights[:, None]
        if waveforms.shape[-1] < MIN_SAMPLES:
            embeddings = waveforms.new_full((*masks.shape[:2], self.dimension), torch.nan)
        else:
            features = self.encoder.features(waveforms[:, 0])
            rows = [
                self._embed(samples, frames, mask)
                for samples, frames, own in zip(waveforms[:, 0], features, masks, strict=True)
                for mask in own
            ]
            embeddings = torch.stack(rows).unflatten(0, masks.shape[:2])
        return embeddings if weights.ndim == 3 else embeddings[:, 0]

    def _embed(self, samples: Tensor, features: Tensor, mask: Tensor) -> Tensor:
        """Of samples [n] with features [frames, mels], what the mask [m] keeps: an embedding [D]."""
        heard, kept = samples[_spread(mask, len(samples))], features[_spread(mask, len(features))]
        if len(heard) < MIN_SAMPLES or heard.double().square().mean().sqrt() < SILENCE:
            return samples.new_full((self.dimension,), torch.nan)
        return self.encoder.student(mean_normalise(kept[None]))[0]


def _spread(mask: Tensor, length: int) -> Tensor:
    """A mask [m] of weights as truth values [length]."""
    return interpolate(mask[None, None].float(), size=length, mode="nearest")[0, 0] > HEARD


def _check_shapes(waveforms: Tensor, weights: Tensor | None) -> None:
    if waveforms.ndim != 3 or waveforms.shape[1] != 1:
        raise DataError(
            "waveforms of another shape", expected="[batch, 1, samples]", found=list(waveforms.shape)
        )
    if weights is not None and (
        weights.ndim not in (2, 3) or len(weights) != len(waveforms) or weights.shape[-1] == 0
    ):
        raise DataError(
            "weights of another shape", expected=f"[{len(waveforms)}, frames] or with speakers between",
            found=list(weights.shape),
        )  # fmt: skip
