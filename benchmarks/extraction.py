"""How fast a list is embedded, beside SpeechBrain's loop over files with the same weights.

    python benchmarks/extraction.py [--files 1000] [--width 512] [--front_end speechbrain_fbank] [--device cpu]

Makes up FILES files of 1 to 20 s, embeds them with `cmd_speaker.extraction` (from the files to the embeddings
file) with each engine, and one after the other with SpeechBrain's `EncoderClassifier`, which is given the same
front-end, the same weights and all cores. Prints files per second, how many times faster than real time, and the
largest difference from SpeechBrain's embeddings, relative to their norm. Each is run `--repeats` times in turn,
after a few files to warm up; medians are printed. Beside it stands what loading a model takes, once a call.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
import torch
from machine import machine
from speechbrain.dataio.dataio import read_audio
from speechbrain.inference.speaker import EncoderClassifier
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from speechbrain.processing.features import InputNormalization

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.engine import ENGINES
from cmd_speaker.extraction import extract
from cmd_speaker.features import FRONT_ENDS, build_front_end
from cmd_speaker.inputs import find_inputs
from cmd_speaker.model import SpeakerModel
from cmd_speaker.students import build_student

SHORTEST, LONGEST = 1.0, 20.0
WARM = 8
BASELINE = "SpeechBrain, file by file"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--front_end", choices=FRONT_ENDS, default="speechbrain_fbank")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "model", options.width, options.front_end)
        files, seconds = make_files(folder / "audio", options.files)
        models, loading = load_models(folder / "model", options.device)
        classifier = speechbrain_classifier(models["torch"])
        ways: dict[str, Callable[[list[Path]], np.ndarray]] = {
            BASELINE: lambda chosen: speechbrain_loop(classifier, chosen),
            **{f"embed, {engine}": partial(extracted, model, folder) for engine, model in models.items()},
        }
        walls, vectors = measure(ways, files, options.repeats)
    print(machine("torch", "speechbrain", "onnxruntime", "numpy"))
    print(f"{len(files)} files, {seconds:.0f} s; ECAPA-TDNN of width {options.width}, {options.front_end}; "
          f"{torch.get_num_threads()} threads, {options.device}; median of {options.repeats}\n")  # fmt: skip
    print(f"{'':<28}{'wall, s':>9}{'files/s':>9}{'x real time':>13}{'times as fast':>15}{'difference':>12}"
          f"{'loading, s':>12}{'files/s with it':>17}")  # fmt: skip
    expected = vectors[BASELINE]
    for way, wall in walls.items():
        loaded = loading.get(way.removeprefix("embed, "), 0.0)
        difference = np.abs(vectors[way] - expected).max(axis=1) / np.linalg.norm(expected, axis=1)
        print(f"{way:<28}{wall:>9.1f}{len(files) / wall:>9.1f}{seconds / wall:>13.0f}"
              f"{walls[BASELINE] / wall:>15.2f}{difference.max():>12.2g}"
              f"{loaded:>12.1f}{len(files) / (wall + loaded):>17.1f}")  # fmt: skip


def load_models(folder: Path, device: str) -> tuple[dict[str, SpeakerModel], dict[str, float]]:
    """Engine -> the model of a folder, and the seconds that it took to load."""
    models, loading = {}, {}
    for engine in ENGINES if device == "cpu" else ENGINES[:1]:
        began = time.perf_counter()
        models[engine] = SpeakerModel.load(folder, device, engine)
        loading[engine] = time.perf_counter() - began
    return models, loading


def make_model(folder: Path, width: int, front_end: str) -> None:
    """A folder of an untrained student whose running statistics are not those it began with."""
    torch.manual_seed(0)
    encoder = SpeakerEncoder(build_front_end(front_end), build_student("ecapa_tdnn", width=width))
    with torch.no_grad():
        encoder.train().student(encoder.features(0.1 * torch.randn(4, SAMPLE_RATE)))
    SpeakerModel(encoder).save(folder)


def make_files(folder: Path, count: int) -> tuple[list[Path], float]:
    """16-bit wavs of noise whose lengths are drawn evenly, and how many seconds they are."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    lengths = (rng.uniform(SHORTEST, LONGEST, count) * SAMPLE_RATE).astype(int)
    files = []
    for number, length in enumerate(lengths):
        files.append(folder / f"{number:05}.wav")
        soundfile.write(files[-1], 0.1 * rng.standard_normal(length), SAMPLE_RATE)
    return files, float(lengths.sum()) / SAMPLE_RATE


def speechbrain_classifier(model: SpeakerModel) -> EncoderClassifier:
    """SpeechBrain's interface around its own network with the model's weights."""
    student = model.encoder.student
    network = ECAPA_TDNN(
        student.n_mels,
        lin_neurons=student.embedding_size,
        channels=[student.width] * 4 + [min(3 * student.width, 1536)],
        attention_channels=min(128, student.width),
        se_channels=min(128, student.width),
    )
    network.load_state_dict(student.state_dict())
    modules = {
        "compute_features": model.encoder.front_end,
        "mean_var_norm": InputNormalization(norm_type="sentence", std_norm=False),
        "embedding_model": network,
        "classifier": torch.nn.Identity(),
    }
    return EncoderClassifier(modules=modules, hparams={}, run_opts={"device": str(model.device)})


@torch.inference_mode()
def speechbrain_loop(classifier: EncoderClassifier, files: list[Path]) -> np.ndarray:
    """Embeddings [N, D], one file after the other, each on all cores."""
    vectors = [classifier.encode_batch(read_audio(str(path)))[0, 0].cpu().numpy() for path in files]
    return np.stack(vectors)


def extracted(model: SpeakerModel, folder: Path, files: list[Path]) -> np.ndarray:
    """Embeddings [N, D] by way of everything that `cmd-speaker embed` does."""
    done = extract(model, find_inputs([str(path) for path in files]), folder / "e.npz")
    assert done.embeddings is not None
    return done.embeddings.vectors


def measure(
    ways: dict[str, Callable[[list[Path]], np.ndarray]], files: list[Path], repeats: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Way -> median of the seconds that it takes, and its embeddings."""
    walls: dict[str, list[float]] = {name: [] for name in ways}
    vectors = {}
    for way in ways.values():
        way(files[:WARM])
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            vectors[name] = way(files)
            walls[name].append(time.perf_counter() - began)
    return {name: median(each) for name, each in walls.items()}, vectors


if __name__ == "__main__":
    main()
