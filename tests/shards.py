"""Corpora to be packed, and what is in shards."""

import json
import tarfile

import numpy as np
import soundfile

from cmd_speaker.manifest import load_manifest, write_manifest

RATE = 16000
SUFFIXES = ("wav", "flac", "ogg")


def noise(seconds, seed):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).clip(-1, 1)


def write_corpus(root, ids, seconds=0.5):
    """A file for each id, wav, flac and ogg in turn; the manifest's rows."""
    (root / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for number, name in enumerate(ids):
        file = f"audio/{number}.{SUFFIXES[number % len(SUFFIXES)]}"
        soundfile.write(root / file, noise(seconds, number), RATE)
        rows.append((name, seconds, f"$data_root/{file}", "", "", f"s{number % 2}", f"session {number}"))
    return rows


def manifest_of(root, rows, name="train.csv"):
    """Write rows that have a session, and load them."""
    write_manifest(root / name, ("session",), rows)
    return load_manifest(root / name, root)


def content(folder):
    """Name -> bytes of every file in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def samples_of(folder):
    """Of all shards in order: (name of the audio, its bytes, what the json says)."""
    found = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            names = tar.getnames()
            for audio, about in zip(names[::2], names[1::2], strict=True):
                assert about == f"{audio.partition('.')[0]}.json"
                told = json.loads(tar.extractfile(about).read())
                found.append((audio, tar.extractfile(audio).read(), told))
    return found
