"""What several tests need: the shared corpora, and a small corpus in speechocean762's layout."""

import os
import shutil
from pathlib import Path

# Before NumPy and torch are loaded: models as small as these are slower on several threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import soundfile

from tests.studies import write_recipe

RATE = 16000
# The first four are validation speakers of data_prep.speechocean762. Gender, age, pitch in Hz, size of the
# vocal tract (1: the formants of a grown man).
TRAIN = {
    "5195": ("f", 10, 260, 0.72),
    "1064": ("m", 26, 110, 1.0),
    "2034": ("m", 8, 290, 0.68),
    "2251": ("f", 21, 205, 0.86),
    "9001": ("m", 33, 95, 1.05),
    "9002": ("f", 7, 310, 0.66),
}
TEST = {
    "9101": ("f", 24, 190, 0.88),
    "9102": ("m", 37, 125, 0.97),
    "9103": ("f", 9, 270, 0.7),
    "9104": ("f", 29, 225, 0.83),
}
SENTENCES = ("WE CALL IT BEAR", "ZERO THREE FIVE ONE", "KATE LOVES CHINA", "MARK IS GOING TO SEE ELEPHANT")


def pytest_addoption(parser):
    parser.addoption("--forbid-skips", action="store_true", help="a skipped test fails the run")


def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--forbid-skips") and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def shared_data():
    """The folder of the shared corpora, beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared corpora are not there: {folder}")
    return folder


@pytest.fixture(scope="session")
def tiny_speechocean(tmp_path_factory):
    """A function `(suffix=".WAV") -> folder`: 6 training and 4 test speakers, 4 utterances each.

    Utterances last 0.6 to 2 s. Built once a session: tests that change something change a copy.
    """
    built = {}

    def build(suffix=".WAV"):
        if suffix not in built:
            built[suffix] = tmp_path_factory.mktemp("speechocean762")
            for part, speakers in (("train", TRAIN), ("test", TEST)):
                write_part(built[suffix], part, speakers, suffix)
        return built[suffix]

    return build


@pytest.fixture
def speechocean_copy(tiny_speechocean, tmp_path):
    """A copy of the small corpus, to be changed."""
    return shutil.copytree(tiny_speechocean(), tmp_path / "corpus")


@pytest.fixture
def write_study(tmp_path):
    """`write_study(text) -> path` of a study beside a recipe that trains nothing, `recipe/hparams/fake.yaml`."""
    write_recipe(tmp_path / "recipe")

    def write(text):
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="session")
def hugging_face(tmp_path_factory):
    """A tiny BERT in a local folder, as a user would have downloaded one."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("bert")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "a",
        "girl",
        "boy",
        "woman",
        "child",
        "years",
        "old",
    ]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=12, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def write_part(root, part, speakers, suffix):
    """One of `train` and `test`, with its audio under WAVE."""
    (root / part).mkdir()
    tables = {name: [] for name in ("wav.scp", "utt2spk", "text", "spk2gender", "spk2age")}
    for speaker, (gender, age, pitch, tract) in speakers.items():
        tables["spk2gender"].append((speaker, gender))
        tables["spk2age"].append((speaker, age))
        folder = Path("WAVE") / f"SPEAKER{speaker}"
        (root / folder).mkdir(parents=True)
        for index, sentence in enumerate(SENTENCES):
            utterance = f"{speaker}{index:05}"
            rng = np.random.default_rng(int(utterance))
            wav = folder / f"{utterance}{suffix}"
            write_audio(root / wav, voice(pitch, tract, rng.uniform(0.6, 2.0), rng))
            tables["wav.scp"].append((utterance, wav.as_posix()))
            tables["utt2spk"].append((utterance, speaker))
            tables["text"].append((utterance, sentence))
    for name, rows in tables.items():
        text = "".join(f"{key}\t{value}\n" for key, value in sorted(rows))
        (root / part / name).write_text(text, encoding="utf-8")


def voice(pitch, tract, seconds, rng):
    """Harmonics of a wavering pitch (Hz) under three formants that move from one vowel to the next."""
    time = np.arange(int(seconds * RATE)) / RATE
    contour = pitch * (1 + 0.05 * np.sin(2 * np.pi * rng.uniform(1, 3) * time + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(contour) / RATE
    vowels = np.array([(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)]) / tract
    places = np.linspace(0, seconds, 4)
    formants = np.stack([np.interp(time, places, vowels[rng.permutation(4), k]) for k in range(3)])
    samples = 0.003 * rng.standard_normal(len(time))
    for harmonic in range(1, int(4000 / pitch)):
        gain = sum(np.exp(-(((harmonic * contour - formant) / 150) ** 2)) for formant in formants) + 0.02
        samples += gain / harmonic**0.5 * np.sin(harmonic * phase)
    samples *= 0.3 + 0.7 * np.abs(np.sin(2 * np.pi * 2 * time))
    return (0.3 * samples / np.abs(samples).max()).astype(np.float32)


def write_audio(path, samples):
    """Write [samples] at 16 kHz in the format of the suffix (any case)."""
    form, subtype = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".opus": ("OGG", "OPUS")}[
        path.suffix.lower()
    ]
    soundfile.write(path, samples, RATE, format=form, subtype=subtype)
