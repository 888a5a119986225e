"""What the benchmarks of training train on: recordings as long as VoxCeleb's, noises, impulse responses, faces.

All is made of random numbers: how fast a system trains does not depend on what it hears.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.manifest import Manifest, load_manifest, write_manifest
from cmd_speaker.training.recipe import Recipe, open_recipe

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "VoxCeleb"
SHORTEST, LONGEST, MEAN_MORE = 4.0, 15.0, 4.1
"""Seconds. No recording of VoxCeleb is shorter, few are longer, and with the third they last 7.8 s on average,
as VoxCeleb2's (Chung et al., Interspeech 2018, table 2)."""
NOISES, RESPONSES = 843, 60
"""The noises are as many as RIRS_NOISES has point sources, which SpeechBrain's recipe fetches."""
FACE_SIZE = 512


def write_corpus(folder: Path, files: int, speakers: int, rows: int) -> Path:
    """`files` recordings and their manifest, `train.csv`, of at least `rows` rows; returns its path.

    Every speaker has one. The rows share the files: a few hundred steps need a hundred thousand rows, which should
    not fill a disk.
    """
    manifest = folder / "train.csv"
    if manifest.is_file():
        return manifest
    rng = np.random.default_rng(1)
    written = []
    for number, samples in enumerate(_recordings(rng, files)):
        path = folder / "wav" / f"id{number % speakers:05}" / "video" / f"{number:05}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, SAMPLE_RATE)
        written.append((path, len(samples)))
    table = [
        (
            f"{row}",
            size / SAMPLE_RATE,
            f"$data_root/{path.relative_to(folder)}",
            0,
            size,
            f"id{row % speakers:05}",
        )
        for row, (path, size) in zip(range(max(rows, speakers)), cycle(written), strict=False)
    ]
    write_manifest(manifest, (), table)
    return manifest


def write_noises(folder: Path, noises: int = NOISES) -> tuple[Path, Path]:
    """A folder of noises and one of impulse responses of 0.1 to 0.6 s."""
    rng = np.random.default_rng(2)
    noise_folder, rir_folder = folder / "noise", folder / "rir"
    for each in (noise_folder, rir_folder):
        each.mkdir()
    for number, samples in enumerate(_recordings(rng, noises)):
        soundfile.write(noise_folder / f"noise{number}.wav", samples, SAMPLE_RATE)
    for number in range(RESPONSES):
        seconds = rng.uniform(0.1, 0.6)
        time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        response = 0.1 * rng.standard_normal(len(time)) * np.exp(-6.9 * time / seconds)
        response[0] = 0.9
        soundfile.write(rir_folder / f"rir{number}.wav", response, SAMPLE_RATE)
    return noise_folder, rir_folder


def write_faces(folder: Path, speakers: int) -> tuple[Path, Path]:
    """The two files of a face teacher with one embedding a speaker: embeddings, and whose they are."""
    names = [f"id{number:05}" for number in range(speakers)]
    vectors = np.random.default_rng(3).standard_normal((speakers, FACE_SIZE)).astype(np.float32)
    embeddings, table = folder / "faces.npz", folder / "faces.csv"
    np.savez(embeddings, ids=np.array(names), embeddings=vectors)
    table.write_text("ID,spk_id\n" + "".join(f"{name},{name}\n" for name in names), encoding="utf-8")
    return embeddings, table


def write_shards(folder: Path, manifest: Path) -> None:
    """The manifest's recordings in the folder `shards`, as `cmd-speaker pack` packs them."""
    from cmd_speaker.shards.packing import pack

    pack(load_manifest(manifest, folder), folder / "shards")


def _recordings(rng: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """Noise whose lengths are distributed as VoxCeleb's."""
    noise = 0.1 * rng.standard_normal(int(60 * SAMPLE_RATE))
    for _ in range(count):
        seconds = min(SHORTEST + rng.exponential(MEAN_MORE), LONGEST)
        start = int(rng.integers(len(noise) - int(LONGEST * SAMPLE_RATE)))
        yield noise[start : start + round(seconds * SAMPLE_RATE)]


def open_voxceleb(folder: Path, run: Path, values: dict[str, object]) -> tuple[Recipe, Manifest]:
    """The recipe of VoxCeleb with these `values` of its keys, and the manifest of `write_corpus` in `folder`."""
    arguments = [str(RECIPE / "hparams" / "voxceleb.yaml")]
    for key, value in {"data_folder": folder, "output_folder": run, "test": False, **values}.items():
        arguments += [f"--{key}", "null" if value is None else str(value)]
    recipe = open_recipe(arguments, runpy.run_path(str(RECIPE / "train.py"))["OWN_KEYS"])
    return recipe, load_manifest(folder / "train.csv", folder)
