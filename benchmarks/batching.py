"""How batches should be made: padding, SpeechBrain's masking, or equal lengths only.

    python benchmarks/batching.py MODEL MANIFEST --data_root CORPUS [--utterances 256]

Embeds the same utterances one by one, in padded batches (with and without telling the encoder their
lengths) and in groups of equal length, and prints how far each is from the single file and how fast it is.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from cmd_speaker.encoder import SpeakerEncoder, embed_all
from cmd_speaker.hearing import read_utterance
from cmd_speaker.manifest import load_manifest
from cmd_speaker.model import SpeakerModel

Audio = list[tuple[str, np.ndarray]]
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--data_root", type=Path)
    parser.add_argument("--utterances", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    encoder = SpeakerModel.load(options.model, options.device).encoder
    manifest = load_manifest(options.manifest, options.data_root)
    audio = [(u.id, read_utterance(u)) for u in manifest.utterances[: options.utterances]]
    seconds = sum(len(samples) for _, samples in audio) / 16000
    print(
        f"{len(audio)} utterances, {seconds:.0f} s; torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{options.device}\n"
    )
    ways: dict[str, Callable[[], np.ndarray]] = {
        "one by one": lambda: one_by_one(encoder, audio, options.device),
        "padded, lengths not passed": lambda: padded(encoder, audio, options.device, lengths=False),
        "padded, lengths passed": lambda: padded(encoder, audio, options.device, lengths=True),
        "equal lengths (embed_all)": lambda: grouped(encoder, audio, options.device),
    }  # fmt: skip
    reference: np.ndarray | None = None
    print(
        f"{'':<28}{'lowest cosine':>14}{'mean cosine':>13}{'max |diff|':>12}{'files/s':>9}{'x real time':>13}"
    )
    for name, way in ways.items():
        way()
        begin = time.perf_counter()
        vectors = way()
        elapsed = time.perf_counter() - begin
        reference = vectors if reference is None else reference
        cosine = np.sum(unit(vectors) * unit(reference), axis=1)
        worst = np.abs(vectors - reference).max()
        print(f"{name:<28}{cosine.min():>14.6f}{cosine.mean():>13.6f}{worst:>12.2g}{len(audio) / elapsed:>9.1f}"
              f"{seconds / elapsed:>13.0f}")  # fmt: skip


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@torch.inference_mode()
def one_by_one(encoder: SpeakerEncoder, audio: Audio, device: str) -> np.ndarray:
    tensors = (torch.from_numpy(x)[None].to(device) for _, x in audio)
    return np.stack([encoder.student(encoder.features(x))[0].cpu().numpy() for x in tensors])


def grouped(encoder: SpeakerEncoder, audio: Audio, device: str) -> np.ndarray:
    return np.stack([vector for _, vector in embed_all(encoder, audio, device=device, batch_size=BATCH)])


@torch.inference_mode()
def padded(encoder: SpeakerEncoder, audio: Audio, device: str, lengths: bool) -> np.ndarray:
    """Features are computed and mean-normalised for each file, then padded: the mildest form of padding."""
    rows = []
    for batch in batches(audio):
        features = [encoder.features(torch.from_numpy(x)[None].to(device))[0] for _, x in batch]
        frames = torch.tensor([len(f) for f in features], device=device)
        stacked = pad_sequence(features, batch_first=True)
        relative = frames / stacked.shape[1] if lengths else None
        # The parent's forward: the student's own takes no lengths.
        vectors = super(type(encoder.student), encoder.student).forward(stacked, relative)
        rows.append(vectors.squeeze(1).cpu().numpy())
    return np.concatenate(rows)


def batches(audio: Audio) -> Iterator[Audio]:
    for start in range(0, len(audio), BATCH):
        yield audio[start : start + BATCH]


if __name__ == "__main__":
    main()
