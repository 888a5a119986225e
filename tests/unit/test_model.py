"""The embedding path and the model folder."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from cmd_speaker.encoder import SpeakerEncoder, _take_one_thread, embed_all, embed_read
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.features import KaldiFbank
from cmd_speaker.model import SpeakerModel
from cmd_speaker.students import STUDENTS, build_student


@pytest.fixture(scope="module", params=STUDENTS)
def model(request):
    torch.manual_seed(0)
    encoder = SpeakerEncoder(KaldiFbank(), build_student(request.param, width=16, embedding_size=24))
    with torch.no_grad():  # move the running statistics away from their start
        for _ in range(3):
            encoder.train().student(encoder.features(0.1 * torch.randn(8, 8000)))
    return SpeakerModel(encoder)


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "model", {"recipe": "test"})
    return tmp_path / "model"


def noise(samples, seed):
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_a_batch_gives_the_embedding_of_the_single_file(model):
    lengths = [8000, 12000, 8000, 1600, 12000, 8079, 8000, 12000, 20000, 8000]
    audio = [(str(i), noise(n, i)) for i, n in enumerate(lengths)]
    together = list(embed_all(model.encoder, audio, batch_size=4))
    assert [key for key, _ in together] == [key for key, _ in audio]
    for (_, samples), (_, vector) in zip(audio, together, strict=True):
        np.testing.assert_allclose(vector, model.embed(samples), rtol=0, atol=1e-5)


def test_convolutions_give_a_batch_the_bits_of_the_single_file():
    """PyTorch would take other programs for a batch, and for few frames."""
    torch.manual_seed(0)
    encoder = SpeakerEncoder(KaldiFbank(), build_student("ecapa_tdnn", width=64, embedding_size=24)).eval()
    with torch.inference_mode():
        for frames in (11, 60, 300):
            features = torch.randn(16, frames, 80)
            alone = torch.cat([encoder.embed(each[None]) for each in features])
            assert torch.equal(encoder.embed(features), alone), frames


def test_faster_convolutions_give_the_network_its_embedding(model):
    samples = noise(16000, 0)
    with torch.inference_mode():
        plain = model.encoder.student(model.encoder.features(torch.from_numpy(samples)[None]))[0].numpy()
    np.testing.assert_allclose(model.embed(samples), plain, rtol=0, atol=1e-5 * np.linalg.norm(plain))


def test_a_padded_batch_would_not(model):
    """Why `embed_all` groups: the same utterance beside a longer one has another embedding."""
    short = torch.from_numpy(noise(8000, 0))
    padded = torch.stack([torch.cat([short, torch.zeros(8000)]), torch.from_numpy(noise(16000, 1))])
    with torch.inference_mode():
        vector = model.encoder.student(model.encoder.features(padded))[0].numpy()
    assert np.abs(vector - model.embed(short)).max() > 1e-2


def test_twice_the_same_file_gives_the_same_bits(model):
    assert np.array_equal(model.embed(noise(9000, 3)), model.embed(noise(9000, 3)))


def test_any_number_of_threads_gives_the_same_bits_and_is_left_as_it_was(model):
    audio = [(str(i), noise(n, i)) for i, n in enumerate((8000, 30000, 12000, 8000))]
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(dict(embed_all(model.encoder, audio)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for key, vector in found[0].items():
        assert np.array_equal(vector, found[1][key])
        assert np.array_equal(vector, found[2][key])


def test_long_utterances_are_held_no_longer_than_an_hour_of_them(model, monkeypatch):
    """Here three seconds: with those that are read meanwhile, two a thread, and the one that is asked for."""
    monkeypatch.setattr("cmd_speaker.encoder.HELD_FRAMES", 300)
    asked = []

    def reads():
        for number in range(40):
            asked.append(number)
            yield lambda number=number: noise(16000, number)

    found = embed_read(model.encoder, reads())
    np.testing.assert_allclose(next(found), model.embed(noise(16000, 0)), rtol=0, atol=1e-5)
    assert len(asked) <= 3 + 2 * torch.get_num_threads() + 1
    assert len(list(found)) == 39


def test_other_sample_rates_of_arrays_are_resampled(model):
    time = np.arange(48000) / 48000
    tone = (0.3 * np.sin(2 * np.pi * 440 * time) + noise(48000, 1) * 0.001).astype(np.float32)
    assert model.embed(tone, sample_rate=48000).shape == (24,)


def test_round_trip(model, folder):
    loaded = SpeakerModel.load(folder)
    samples = noise(16000, 5)
    assert np.array_equal(loaded.embed(samples), model.embed(samples))
    assert loaded.description["provenance"] == {"recipe": "test"}
    assert loaded.embedding_size == 24


def test_similarity_is_the_cosine(model):
    a, b = noise(8000, 1), noise(9000, 2)
    u, v = model.embed(a), model.embed(b)
    assert model.similarity(a, b) == pytest.approx(
        np.dot(u, v) / np.linalg.norm(u) / np.linalg.norm(v), abs=1e-6
    )
    same = [model.similarity(each, each) for each in (noise(4000, seed) for seed in range(20))]
    assert same == pytest.approx([1.0] * 20, abs=1e-6)
    assert max(same) <= 1.0, "rounded beyond"


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
@pytest.mark.parametrize("place", [0.02, 0.5, 0.98])
def test_a_changed_byte_is_found(folder, name, place):
    path = folder / name
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=name):
        SpeakerModel.load(folder)


def test_changed_white_space_is_found(folder):
    path = folder / "model.json"
    path.write_text(path.read_text().replace("\n", " ", 1))
    with pytest.raises(DataError, match="white space"):
        SpeakerModel.load(folder)


def test_a_shared_model_can_be_read_by_others(folder):
    assert (folder / "model.safetensors").stat().st_mode & 0o777 == (
        folder / "model.json"
    ).stat().st_mode & 0o777


def test_the_self_test_finds_another_computation(folder, monkeypatch):
    monkeypatch.setattr("cmd_speaker.encoder.mean_normalise", lambda features: features)
    with pytest.raises(DataError, match="self-test failed"):
        SpeakerModel.load(folder)


@pytest.mark.parametrize("missing", ["model.safetensors", "model.json"])
def test_not_a_model_folder(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(DataError, match="not a model folder"):
        SpeakerModel.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "os.system"}, "os.system"),
        ({"format_version": 2}, "newer version"),
        ({"sample_rate": 8000}, "unknown sample_rate"),
        ({"normalisation": "none"}, "unknown normalisation"),
        ({"arguments": {"n_mels": 80, "width": 8, "embedding_size": 24}}, "does not fit together"),
        ({"arguments": {"layers": 3}}, "does not fit together"),
        # More memory than there is, and not asked for.
        ({"arguments": {"n_mels": 80, "width": 10**6, "embedding_size": 24}}, "other names or shapes"),
        ({"arguments": {"n_mels": 80, "width": float("inf"), "embedding_size": 24}}, "does not fit together"),
        ({"front_end": {"name": "kaldi_fbank", "arguments": {"n_mels": 10**9}}}, "80 mels, but 1000000000"),
        ({"self_test": [1.0, 2.0]}, "does not fit together"),
        ({"self_test": [float("nan")] * 24}, "self-test failed"),
    ],
)
def test_unknown_names_are_refused_not_run(folder, change, message):
    """Also where somebody has corrected the checksum."""
    from cmd_speaker.files import json_checksum, write_json

    description = json.loads((folder / "model.json").read_text()) | change
    description.pop("checksum")
    write_json(folder / "model.json", {**description, "checksum": json_checksum(description)})
    with pytest.raises(DataError, match=message):
        SpeakerModel.load(folder)


def test_loading_reads_no_other_file(folder):
    (folder / "hyperparams.yaml").write_text("!apply:os._exit [7]")
    (folder / "model.py").write_text("raise SystemExit(7)")
    assert SpeakerModel.load(folder).embedding_size == 24


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(16000, np.float32), "silent"),
        (np.full(16000, np.nan, np.float32), "not finite"),
        (noise(320, 0), "too short"),
        (np.zeros((2, 16000), np.float32), "one channel"),
    ],
)
def test_bad_arrays(model, samples, message):
    with pytest.raises(DataError, match=message):
        model.embed(samples)


def test_a_saved_model_has_the_checksum_of_its_folder(model, tmp_path):
    unsaved = SpeakerModel(model.encoder)
    with pytest.raises(UsageError, match="once it was saved"):
        _ = unsaved.checksum
    unsaved.save(tmp_path / "model")
    stored = json.loads((tmp_path / "model" / "model.json").read_text())["checksum"]
    assert unsaved.checksum == stored == SpeakerModel.load(tmp_path / "model").checksum


def test_loading_draws_no_random_numbers(folder):
    before = torch.get_rng_state()
    SpeakerModel.load(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_worker_keeps_its_one_thread_whatever_others_choose():
    """Else batches that are computed meanwhile have other bits."""
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(1, initializer=_take_one_thread) as pool:
            pool.submit(int).result()
            torch.set_num_threads(3)
            assert pool.submit(torch.get_num_threads).result() == 1
    finally:
        torch.set_num_threads(before)
