"""The registry of enrolled speakers, and what decides about recordings."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Barrier, BrokenBarrierError

import numpy as np
import pytest

from cmd_speaker.calibration.calibration import Calibration, Origin
from cmd_speaker.calibration.calibration_file import FILE_NAME
from cmd_speaker.calibration.qualities import Quality
from cmd_speaker.decision import Decider, Recording
from cmd_speaker.embeddings import save_embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.files import json_checksum
from cmd_speaker.registry import Enrolled, Registry, load_registry
from cmd_speaker.scoring.backend import Backend

MODEL = "a" * 64


def enrolled(*vector, seconds=2.0, file="x.wav"):
    vector = np.array(vector, dtype=np.float32)
    return Enrolled(file, f"{json_checksum(vector.tolist())}", Recording(vector, seconds))


@pytest.fixture
def registry(tmp_path):
    """Anna with two recordings, Bert with one."""
    registry = Registry(tmp_path / "reg", MODEL, "../model")
    registry = registry.enrol("Anna", [enrolled(1, 0), enrolled(0, 2)]).enrol("Bert", [enrolled(-1, 3)])
    registry.save()
    return load_registry(registry.folder)


def files(registry):
    return sorted(path.name.split("-")[0] for path in registry.folder.iterdir())


def test_round_trip(registry):
    assert {name: len(own) for name, own in registry.speakers.items()} == {"Anna": 2, "Bert": 1}
    anna = registry.speakers["Anna"][1]
    assert (anna.file, anna.recording.seconds) == ("x.wav", 2.0)
    np.testing.assert_array_equal(anna.recording.embedding, np.float32([0, 2]))
    assert (registry.model, registry.model_path) == (MODEL, "../model")
    assert registry.model_folder() == registry.folder / "../model"
    assert files(registry) == ["embeddings", "registry.json"]


def test_who_is_forgotten_leaves_no_embedding(registry):
    vector = np.float32([-1, 3]).tobytes()
    assert any(vector in path.read_bytes() for path in registry.folder.iterdir())
    registry.forget("Bert").save()
    assert list(load_registry(registry.folder).speakers) == ["Anna"]
    assert not any(vector in path.read_bytes() for path in registry.folder.iterdir())
    with pytest.raises(DataError, match="'Bert'"):
        load_registry(registry.folder).forget("Bert")
    load_registry(registry.folder).forget("Anna").save()
    assert load_registry(registry.folder).speakers == {}
    assert files(registry) == ["registry.json"]


def test_more_recordings_of_one_speaker(registry):
    registry.enrol("Anna", [enrolled(5, 5)]).save()
    assert [len(own) for own in load_registry(registry.folder).speakers.values()] == [3, 1]


@pytest.mark.parametrize("name", ["Anna", "Carla"])
def test_a_recording_is_enrolled_once(registry, name):
    with pytest.raises(DataError, match=r"x\.wav.*'Anna'"):
        registry.enrol(name, [enrolled(1, 0)])
    with pytest.raises(DataError, match="already"):
        registry.enrol(name, [enrolled(7, 7), enrolled(7, 7)])


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[2J"])
def test_names_can_be_printed(registry, name):
    with pytest.raises(DataError, match="name"):
        registry.enrol(name, [enrolled(9, 9)])


def test_two_writers_do_not_undo_each_other(registry):
    registry.forget("Bert").save()
    with pytest.raises(DataError, match="meanwhile"):
        registry.enrol("Carla", [enrolled(9, 9)]).save()
    assert list(load_registry(registry.folder).speakers) == ["Anna"]


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be locked on Windows")
def test_of_writers_at_the_same_time_one_wins(registry, monkeypatch):
    # Both are let past the comparison with what they have read before either goes on, unless one has to wait.
    both = Barrier(2)

    def save(*arguments):
        with suppress(BrokenBarrierError):
            both.wait(timeout=0.5)
        save_embeddings(*arguments)

    def enrol(name, vector):
        try:
            registry.enrol(name, [enrolled(*vector)]).save()
        except DataError as error:
            return str(error)
        return name

    monkeypatch.setattr("cmd_speaker.registry.save_embeddings", save)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(enrol, ("Carla", "Dora"), ((9, 9), (8, 7))))
    assert ["changed meanwhile" in answer for answer in done].count(True) == 1
    assert set(load_registry(registry.folder).speakers) & {"Carla", "Dora"} == {"Carla", "Dora"} & set(done)


def test_a_write_that_fails_leaves_what_was_there(registry, monkeypatch):
    def fail(*_):
        raise DataError("no space")

    monkeypatch.setattr("cmd_speaker.registry.save_stamped", fail)
    with pytest.raises(DataError, match="no space"):
        registry.enrol("Carla", [enrolled(9, 9)]).save()
    monkeypatch.undo()
    again = load_registry(registry.folder)
    assert list(again.speakers) == ["Anna", "Bert"]
    again.save()
    assert files(registry) == ["embeddings", "registry.json"]


def test_another_model_is_refused(registry):
    registry.check_model(MODEL, "model")
    with pytest.raises(DataError, match=r"aaaa.*bbbb.* in other"):
        registry.check_model("b" * 64, "other")


def change_json(registry, **changes):
    """Rewrite registry.json with changes and a right checksum."""
    path = registry.folder / "registry.json"
    content = json.loads(path.read_text()) | changes
    content.pop("checksum")
    path.write_text(json.dumps({**content, "checksum": json_checksum(content)}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "another version"),
        ({"model": None}, "damaged"),
        ({"speakers": {"Anna": [{"file": "a"}]}}, "damaged"),
        ({"speakers": ["Anna"]}, "damaged"),
        ({"embeddings": None}, "damaged"),
        ({"embeddings": None, "speakers": {"Anna": []}}, "'Anna' has no recording"),
        ({"embeddings": {"file": "../../else.safetensors", "sha256": "0"}}, r"reg.else\.safetensors"),
        ({"speakers": {"Anna": [{"file": "a", "sha256": "0", "seconds": 1}]}}, "embeddings .* changed"),
    ],
)
def test_damage_is_found_also_with_a_right_checksum(registry, changes, message):
    change_json(registry, **changes)
    with pytest.raises(DataError, match=message):
        load_registry(registry.folder)


def test_changed_files_are_found(registry):
    path = registry.folder / "registry.json"
    text = path.read_text()
    path.write_text(text.replace("Bert", "Carl"))
    with pytest.raises(DataError, match="was changed"):
        load_registry(registry.folder)
    path.write_text("[]")
    with pytest.raises(DataError, match="not a registry"):
        load_registry(registry.folder)
    path.write_text(text)
    embeddings = next(registry.folder.glob("*.safetensors"))
    content = bytearray(embeddings.read_bytes())
    content[-2] ^= 1
    embeddings.write_bytes(content)
    with pytest.raises(DataError, match="embeddings of the registry were changed"):
        load_registry(registry.folder)
    path.unlink()
    with pytest.raises(DataError, match="no such registry"):
        load_registry(registry.folder)


def recording(*vector, seconds=2.0):
    return Recording(np.array(vector, dtype=np.float32), seconds)


def test_several_recordings_are_averaged_at_length_one():
    """(1, 0) and (0, 2) average to (1, 1) / sqrt 2, whose cosine with (0, 1) is sqrt 1/2; alone: 0 and 1."""
    speakers = [[recording(1, 0), recording(0, 2)], [recording(1, 0)], [recording(0, 2)]]
    found = Decider(Backend()).compare(speakers, recording(0, 5))
    np.testing.assert_allclose(found.scores, [0.5**0.5, 0, 1], atol=1e-7)
    assert found.llrs is None
    for way, score in (("score", 0.5), ("best", 1.0)):
        found = Decider(Backend(enrolment=way)).compare(speakers, recording(0, 5))
        np.testing.assert_allclose(found.scores, [score, 0, 1], atol=1e-7)


def test_the_mean_is_subtracted_before_the_average():
    """(2, 1) and (2, 2) less (1, 1) point to 0 and 45 degrees, their average to 22.5; the test points to 0."""
    backend = Backend(mean=np.float32([1, 1]))
    found = Decider(backend).compare([[recording(2, 1), recording(2, 2)]], recording(3, 1))
    np.testing.assert_allclose(found.scores, [np.cos(np.pi / 8)], atol=1e-6)


def calibration(*columns, **changes):
    measures = tuple(Quality(column, 0.0, 1.0, -50.0, 50.0, 1.0, 10.0) for column in columns)
    backend = Backend().description()
    origin = Origin({"name": "dev.txt", "sha256": "d" * 64}, None, 100, 1000, None, backend, MODEL)
    return replace(Calibration(2.0, -1.0, 0.01, origin, measures), **changes)


def test_quality_measures_of_recordings():
    """LLR = 2 s - 1 + lower + 10 * higher: lengths 1 + 2 s against 4 s, norms (2 + 4) / 2 against 5."""
    speakers = [[recording(0, 2, seconds=1.0), recording(0, 4, seconds=2.0)]]
    test = recording(0, 5, seconds=4.0)
    found = Decider(Backend(), calibration("duration")).compare(speakers, test)
    np.testing.assert_allclose(found.llrs, [1 + np.log(3) + 10 * np.log(4)], rtol=1e-6)
    found = Decider(Backend(), calibration("norm")).compare(speakers, test)
    np.testing.assert_allclose(found.llrs, [1 + 3 + 50], rtol=1e-6)


def test_the_cohort_mean_is_that_of_the_average():
    """Cohort (1, 0) and (0, 1), top 1: the average (1, 1) / sqrt 2 has sqrt 1/2, the test recording 1."""
    backend = Backend(cohort=np.eye(2, dtype=np.float32), top=1)
    speakers = [[recording(1, 0), recording(0, 2)]]
    found = Decider(backend, calibration("cohort_mean")).compare(speakers, recording(0, 5))
    np.testing.assert_allclose(found.llrs, [2 * 0.5**0.5 - 1 + 0.5**0.5 + 10], rtol=1e-6)


def test_a_measure_beyond_the_range_is_warned_of():
    narrow = replace(calibration("duration").qualities[0], low=0.0, high=1.0)
    decider = Decider(Backend(), calibration(qualities=(narrow,)))
    assert decider.compare([[recording(1, 0)]], recording(1, 1)).warnings == []
    (warning,) = decider.compare([[recording(1, 0)]], recording(1, 1, seconds=60.0)).warnings
    assert "duration" in warning


def test_a_folder_keeps_back_end_and_calibration(tmp_path):
    backend = Backend(mean=np.float32([1, 1]), sources={"mean": {"name": "t.npz", "sha256": "e" * 64}})
    fit = calibration()
    fit = replace(fit, origin=replace(fit.origin, backend=backend.description()))
    Decider(backend, fit).save(tmp_path)
    loaded = Decider.load(tmp_path, MODEL)
    assert loaded.calibration == fit
    assert loaded.warnings == []
    np.testing.assert_array_equal(loaded.backend.mean, backend.mean)
    with pytest.raises(DataError, match="another model"):
        Decider.load(tmp_path, "b" * 64)
    Backend().save(tmp_path)
    with pytest.raises(DataError, match="another back-end"):
        Decider.load(tmp_path, MODEL)
    (tmp_path / FILE_NAME).unlink()
    assert Decider.load(tmp_path, MODEL).calibration is None


@pytest.mark.parametrize("column", ["snr", "cohort_mean"])
def test_what_recordings_do_not_tell_is_refused(tmp_path, column):
    with pytest.raises(DataError, match=f"{column} cannot be computed"):
        Decider(Backend(), calibration("duration", column)).save(tmp_path)
    assert list(tmp_path.iterdir()) == []
