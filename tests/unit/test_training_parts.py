"""Schedule, random states, averages, crops: the small parts of training."""

import pickle
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import torch

from cmd_speaker.errors import DataErrors
from cmd_speaker.manifest import load_manifest, write_manifest
from cmd_speaker.training import data
from cmd_speaker.training.data import DecodedAudio, TrainingCrops, collate
from cmd_speaker.training.schedule import OneCycle, Piecewise
from cmd_speaker.training.state import EpochAverages, RandomStates


def test_one_cycle_equals_torchs():
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    # torch ends at initial / final_div: 0.002 / 25 / 4000 = 0.002 / 1e5.
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.002, total_steps=50, final_div_factor=4000)
    schedule = OneCycle(0.002)
    for step in range(50):
        assert schedule(step, 50) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9), step
        optimizer.step()
        if step < 49:
            reference.step()


def test_a_schedule_is_linear_between_its_points_and_constant_outside():
    schedule = Piecewise.of([[0.2, 1], [0.4, 3], [0.8, 0]])
    for progress, value in ((0, 1), (0.2, 1), (0.3, 2), (0.4, 3), (0.5, 2.25), (0.8, 0), (0.99, 0)):
        assert schedule(progress) == pytest.approx(value, abs=1e-12)
    assert schedule.peak == 3
    assert not schedule.constant
    number = Piecewise.of(2)
    assert (number(0), number(0.7), number.peak, number.constant) == (2, 2, 2, True)


@pytest.mark.parametrize(
    "wrong",
    ["auto", None, True, -1, float("nan"), float("inf"), [], [1, 2], [[0, 1, 2]], [[0, "1"]], [[-0.1, 1]],
     [[0, 1], [1.5, 1]], [[0.5, 1], [0.5, 2]], [[0.5, 1], [0.2, 2]], [[0, -1]], {"0": 1}],
)  # fmt: skip
def test_what_is_no_schedule(wrong):
    with pytest.raises(ValueError, match="expected a number of at least 0, or points"):
        Piecewise.of(wrong)


def test_random_states_come_back(tmp_path):
    states = RandomStates()

    def draw():
        return random.random(), np.random.rand(), np.random.randn(), torch.rand(3).tolist()

    draw()
    states.save(tmp_path / "states")
    first = draw()
    draw()
    states.load(tmp_path / "states", end_of_epoch=False)
    assert draw() == first


def test_averages_survive_a_break(tmp_path):
    whole, broken = EpochAverages(), EpochAverages()
    for value in (1.0, 2.0):
        whole.add({"loss": torch.tensor(value)})
        broken.add({"loss": torch.tensor(value)})
    broken.save(tmp_path / "averages")
    resumed = EpochAverages()
    resumed.load(tmp_path / "averages", end_of_epoch=False)
    for averages in (whole, resumed):
        averages.add({"loss": torch.tensor(6.0)})
    assert whole.take() == resumed.take() == {"loss": 3.0}
    assert whole.take() == {}


@pytest.fixture
def corpus(tmp_path):
    """Two speakers; the samples of each file say where they come from."""
    rows = []
    for index, seconds in enumerate((0.2, 1.0, 1.5)):
        ramp = (index + 1) / 10 + np.linspace(0, 0.05, int(seconds * 16000))
        soundfile.write(tmp_path / f"{index}.wav", ramp, 16000, "FLOAT")
        rows.append((f"u{index}", seconds, f"$data_root/{index}.wav", "", "", f"s{index % 2}"))
    write_manifest(tmp_path / "train.csv", (), rows)
    return load_manifest(tmp_path / "train.csv", tmp_path)


def crops(corpus, **changes):
    options = {
        "labels": corpus.label_map(),
        "rows": [lambda seed, epoch, index: [5, -1, 7][index], lambda seed, epoch, index: [0, 1, -1][index]],
        "seconds": 0.5,
        "seed": 1,
        **changes,
    }
    return TrainingCrops(corpus, **options)


def test_a_crop_depends_on_seed_epoch_and_utterance_only(corpus):
    first, second, other = crops(corpus), crops(corpus), crops(corpus, seed=2)
    for dataset in (first, second, other):
        dataset.set_epoch(3)
    second[0], second[1]  # drawing others first changes nothing
    assert np.array_equal(first[2][0], second[2][0])
    assert not np.array_equal(first[2][0], other[2][0])
    before = first[2][0]
    first.set_epoch(4)
    assert not np.array_equal(first[2][0], before)


def test_a_batch(corpus):
    measured = np.array([[1.5], [2.5], [3.5]], np.float32)
    dataset = crops(corpus, quality_names=["snr"], qualities=measured)
    batch = collate([dataset[i] for i in range(3)])
    assert batch.qualities.tolist() == [[1.5], [2.5], [3.5]]
    assert batch.waveforms.shape == (3, 8000)
    assert batch.labels.tolist() == [0, 1, 0]
    assert batch.rows.tolist() == [[5, 0], [-1, 1], [7, -1]]
    assert batch.rows.dtype == torch.int64
    assert [round(float(x.min()), 1) for x in batch.waveforms] == [0.1, 0.2, 0.3]


def test_a_batch_without_a_teacher(corpus):
    dataset = crops(corpus, rows=[])
    batch = collate([dataset[i] for i in range(3)])
    assert batch.rows.shape == batch.qualities.shape == (3, 0)


def test_decoded_audio_is_the_file_and_is_made_again_when_it_changes(corpus, tmp_path):
    cached = DecodedAudio.open(tmp_path / "cache", corpus)
    for index, utterance in enumerate(corpus):
        assert np.array_equal(cached[index], soundfile.read(utterance.wav, dtype="float32")[0])
    made = set((tmp_path / "cache").iterdir())
    DecodedAudio.open(tmp_path / "cache", corpus)
    assert set((tmp_path / "cache").iterdir()) == made
    next((tmp_path / "cache").glob("*.f32")).unlink()
    DecodedAudio.open(tmp_path / "cache", corpus)
    assert set((tmp_path / "cache").iterdir()) == made
    soundfile.write(corpus.utterances[1].wav, np.full(16000, 0.4), 16000, "FLOAT")
    assert np.allclose(DecodedAudio.open(tmp_path / "cache", corpus)[1], 0.4)


def test_a_cache_is_made_once_by_those_who_want_it_at_a_time(corpus, tmp_path, monkeypatch):
    decode, made = data._decode, []

    def slow(*given):
        made.append(given)
        time.sleep(0.3)
        return decode(*given)

    monkeypatch.setattr(data, "_decode", slow)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: DecodedAudio.open(tmp_path / "cache", corpus), range(2)))
    assert len(made) == 1
    assert np.array_equal(found[0][2], found[1][2])


def test_every_bad_file_is_named_before_training(corpus, tmp_path):
    corpus.utterances[0].wav.write_bytes(b"")
    corpus.utterances[2].wav.write_bytes(b"nonsense" * 1000)
    with pytest.raises(DataErrors, match=r"(?s)2 of 3 files.*row 2.*0\.wav.*row 4.*2\.wav"):
        DecodedAudio.open(tmp_path / "cache", corpus)
    assert not list((tmp_path / "cache").glob("*.f32"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_freed_memory_is_kept():
    """A tensor of 100 MB, made and freed, stays with the process; by default the kernel has it back."""
    code = (
        "import sys, torch\n"
        "from cmd_speaker.training.memory import keep_freed_memory\n"
        "if sys.argv[1] == 'keep': assert keep_freed_memory()\n"
        "x = torch.ones(25_000_000); del x\n"
        "pages = int(open('/proc/self/statm').read().split()[1])\n"
        "y = torch.zeros(1)\n"
        "print(pages * 4096 // 2**20)"
    )
    kept, back = (
        int(
            subprocess.run(
                [sys.executable, "-c", code, mode], capture_output=True, text=True, check=True
            ).stdout
        )
        for mode in ("keep", "default")
    )
    assert kept - back > 80


def test_a_worker_opens_the_cache_itself(tmp_path):
    """Its samples may be hundreds of gigabytes: they are not sent."""
    np.arange(100_000, dtype=np.float32).tofile(tmp_path / "audio.f32")
    audio = DecodedAudio(tmp_path / "audio.f32", np.array([0, 99_990, 100_000]))
    sent = pickle.dumps(audio)
    assert len(sent) < 2000
    assert pickle.loads(sent)[1].tolist() == list(range(99_990, 100_000))
