"""A small tree in VoxCeleb's layout, whose test part has the paths of real lines of `veri_test2.txt`."""

import hashlib
import os

import numpy as np
import soundfile

from cmd_speaker.corpora import trial_lists
from cmd_speaker.corpora.trial_lists import PublishedList

# The first lines of veri_test2.txt; five speakers.
REAL_LINES = """\
1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav
0 id10270/x6uYqmx31kE/00001.wav id10300/ize_eiCFEg0/00003.wav
1 id10270/x6uYqmx31kE/00001.wav id10270/GWXujl-xAVM/00017.wav
0 id10270/x6uYqmx31kE/00001.wav id10273/0OCW1HUxZyg/00001.wav
1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00022.wav
0 id10270/x6uYqmx31kE/00001.wav id10284/Uzxv7Axh3Z8/00001.wav
"""
TEST_NAMES = sorted({name for line in REAL_LINES.splitlines() for name in line.split()[1:]})
VOX1_SPEAKERS = ("id10001", "id10002", "id10003", "id10004", "id11251")
VOX2_SPEAKERS = ("id00012", "id00015", "id00022", "id09272")
VIDEOS = ("1zcIwhmdeo4", "7gWzIy6yIIk")


def names_of(speakers):
    """Two utterances from each of two videos of each speaker."""
    return [f"{s}/{video}/0000{number}.wav" for s in speakers for video in VIDEOS for number in (1, 2)]


def write_audio(path, samples=8000, rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(samples)
    soundfile.write(path, 0.1 * rng.standard_normal(samples), rate, subtype="PCM_16")


def write_files(folder, names, suffix=".wav"):
    """One recording, linked under every name."""
    source = folder.parent / f".sound{suffix}"
    if not source.is_file():
        write_audio(source)
    for name in names:
        path = (folder / name).with_suffix(suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, path)


def write_tree(root):
    """VoxCeleb1 as its two archives unpack, VoxCeleb2 as flac; returns `root`."""
    write_files(root / "vox1_dev_wav" / "wav", names_of(VOX1_SPEAKERS))
    write_files(root / "vox1_test_wav" / "wav", TEST_NAMES)
    write_files(root / "dev" / "flac", names_of(VOX2_SPEAKERS), ".flac")
    return root


def publish(monkeypatch, path, name, text=REAL_LINES):
    """Make a list, written as `path`, a published one under a name that its file does not have."""
    path.write_text(text)
    published = PublishedList(name, "cleaned", "x.txt", 6, hashlib.md5(text.encode()).hexdigest())
    monkeypatch.setattr(trial_lists, "PUBLISHED_LISTS", (*trial_lists.PUBLISHED_LISTS, published))
    return path
