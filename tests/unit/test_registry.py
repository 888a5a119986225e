"""The registry of enrolled speakers."""

import math
import sqlite3
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cmd_speaker.decision import Comparison
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation.operating_point import OperatingPoint
from cmd_speaker.registry import Registry
from cmd_speaker.registry.identification import identification
from cmd_speaker.registry.store import FILE_NAME, Store
from tests.refusals import refused
from tests.registries import COSINE, MODEL, calibrated, counts, enrolled, recording


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "reg"


@pytest.fixture
def registry(folder):
    """Anna with two recordings, Bert with one."""
    with Registry.begin(folder, MODEL, folder.parent / "model") as made:
        made.enrol("Anna", [enrolled(1, 0), enrolled(0, 2)])
        made.enrol("Bert", [enrolled(-1, 3)])
        yield made


def test_round_trip(registry, folder):
    with Registry.open(folder) as again:
        assert [(each.name, each.recordings, each.seconds) for each in again.speakers()] == [
            ("Anna", 2, 4.0), ("Bert", 1, 2.0),
        ]  # fmt: skip
        assert (again.model, again.model_path) == (MODEL, "../model")
        assert again.model_folder() == folder / "../model"
        assert again.counts() == (2, 3)
        assert (again.recordings("Anna"), again.recordings("Carla")) == (2, 0)
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]
    assert Registry.model_of(folder) == MODEL


def test_scores_of_several_recordings(registry):
    """(1, 0) and (0, 2) average to (1, 1) / sqrt 2: cosine sqrt 1/2 with (0, 1). (-1, 3): 3 / sqrt 10."""
    found = registry.identify(recording(0, 5), COSINE)
    assert [(each.rank, each.name) for each in found.candidates] == [(1, "Bert"), (2, "Anna")]
    np.testing.assert_allclose([each.score for each in found.candidates], [3 / 10**0.5, 0.5**0.5], atol=1e-6)
    assert (found.known, found.name, found.speakers, found.threshold) == (None, None, 2, None)
    assert [each.accepted for each in found.candidates] == [None, None]


def test_the_prior_is_that_of_anybody(registry):
    """Prior 1/2 and equal costs: threshold 0, and log 2 more for two names. LLRs: 10 * cosine."""
    found = registry.identify(recording(0, 5), calibrated())
    assert found.threshold == pytest.approx(math.log(2))
    assert (found.name, found.point) == ("Bert", OperatingPoint(0.5))
    assert [each.accepted for each in found.candidates] == [True, False]
    # 10 * 3 / sqrt 10 = 9.49: at a false alarm's cost of 10^4, log 10^4 + log 2 = 9.90 is not reached.
    found = registry.identify(recording(0, 5), calibrated(), OperatingPoint(0.5, 1, 1e4))
    assert (found.known, found.name) == (False, None)
    assert [each.accepted for each in found.candidates] == [False, False]
    assert registry.identify(recording(0, 5), calibrated(), OperatingPoint(0.5, 1, 0.6e4)).name == "Bert"


@pytest.mark.parametrize("speakers", [1, 10, 300])
def test_strangers_are_not_let_in_by_numbers(speakers):
    """LLRs of N(-8, 16) and N(+8, 16): no other threshold costs less, however many are enrolled.

    A wrong name costs as a miss. Without log N, 99.9 % of the strangers would be let in at 300 names.
    """
    rng, prior = np.random.default_rng(0), 0.5
    strangers = rng.normal(-8, 4, (2000, speakers))
    enrolled_ones = np.column_stack([rng.normal(8, 4, 2000), strangers[:, 1:]])

    def names(llrs, point):
        found = (identification(Comparison(each, each), str, speakers, point, 1) for each in llrs)
        return [each.name for each in found]

    def cost(shift):
        """At the point's own costs, decided at a threshold that lies `shift` higher."""
        point = OperatingPoint(prior, 1, math.exp(shift))
        missed = np.mean([name != "0" for name in names(enrolled_ones, point)])
        accepted = np.mean([name is not None for name in names(strangers, point)])
        return prior * missed + (1 - prior) * accepted

    assert cost(0) < min(cost(-1.5), cost(1.5))


def test_only_the_likeliest_are_given(registry):
    for k in range(20):
        registry.enrol(f"n{k}", [enrolled(-1, -k - 1)])
    found = registry.identify(recording(0, 5), COSINE, top=1)
    assert [each.name for each in found.candidates] == ["Bert"]
    everybody = registry.identify(recording(0, 5), COSINE, top=99).candidates
    assert [each.rank for each in everybody] == list(range(1, 23))
    assert registry.identify(recording(0, 5), COSINE, top=7).candidates == everybody[:7]


def test_more_recordings_of_one_speaker(registry):
    """(1, 0), (0, 1) and (1, 1) / sqrt 2 average to (1, 1) / sqrt 2. Bert: -12 / sqrt(10 * 18)."""
    assert registry.enrol("Anna", [enrolled(5, 5)]) == 1
    assert counts(registry) == {"Anna": 3, "Bert": 1}
    found = registry.identify(recording(3, -3), COSINE).candidates
    assert [each.name for each in found] == ["Anna", "Bert"]
    np.testing.assert_allclose([each.score for each in found], [0, -12 / 180**0.5], atol=1e-6)


def test_a_recording_stands_under_one_name_once(registry):
    assert registry.enrol("Anna", [enrolled(1, 0), enrolled(7, 7), enrolled(7, 7)]) == 1
    assert refused(lambda: registry.enrol("Carla", [enrolled(9, 9), enrolled(1, 0)]), "x.wav", "'Anna'")
    assert counts(registry) == {"Anna": 3, "Bert": 1}, "all or none"
    assert registry.holder(enrolled(7, 7).sha256) == "Anna"
    assert registry.holder("0" * 64) is None


NO_NAMES = [
    "",
    "  ",
    "a\nb",
    "\x1b[2J",
    "a\0b",
    "\u2028",
    "\ud800",
    "x" * 1001,
    "\u202eAda",
    "A\u200bda",
    "Ada\ufeff",
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_are_none(registry, name):
    assert refused(lambda: registry.enrol(name, [enrolled(9, 9)]), "no name")


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "C:\\x", ".", "Zoë 明", "علی\u200cرضا", "'; DROP TABLE recordings", "👩\u200d🎤", "%s"],
)  # fmt: skip
def test_names_are_never_paths(registry, folder, name):
    before = sorted(folder.parent.rglob("*"))
    registry.enrol(f" {unicodedata.normalize('NFD', name)} ", [enrolled(9, 1)])
    with Registry.open(folder) as again:
        assert unicodedata.normalize("NFC", name) in counts(again)
        assert again.identify(recording(9, 1), COSINE).candidates[0].name == name
        again.forget(name)
    assert counts(registry) == {"Anna": 2, "Bert": 1}
    assert sorted(folder.parent.rglob("*")) == before


def test_another_model_is_refused(registry, folder):
    for other in ("b" * 64, None):
        assert refused(lambda m=other: registry.enrol("Carla", [enrolled(9, 9, model=m)]), "another model")
        assert refused(lambda m=other: registry.identify(recording(0, 5, model=m), COSINE), "another model")
    assert refused(
        lambda: Registry.begin(folder, "b" * 64, "other"), "another model", "aaaa", "bbbb", "other"
    )
    assert counts(registry) == {"Anna": 2, "Bert": 1}


@pytest.mark.parametrize("vector", [(1, 2, 3), (np.nan, 1), (np.inf, 1)])
def test_what_is_no_embedding_is_refused(registry, vector):
    assert refused(lambda: registry.enrol("Carla", [enrolled(*vector)]), "no embedding", "x.wav")
    assert refused(lambda: registry.identify(recording(*vector), COSINE), "no embedding")


def test_everybody_sees_what_the_others_do(registry, folder):
    with Registry.open(folder) as other:
        assert counts(other) == {"Anna": 2, "Bert": 1}
        other.identify(recording(0, 5), COSINE)
        registry.enrol("Carla", [enrolled(0, 7)])
        assert other.identify(recording(0, 5), COSINE).candidates[0].name == "Carla"
        registry.forget("Carla")
        assert other.identify(recording(0, 5), COSINE).candidates[0].name == "Bert"


def test_threads_share_a_registry(registry):
    def work(k):
        registry.enrol(f"n{k}", [enrolled(-5, -k - 1), enrolled(-6, -k - 1)])
        found = registry.identify(recording(0, 5), COSINE).candidates[0].name
        if k % 2:
            registry.forget(f"n{k}")
        return found

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(40))) == {"Bert"}
    assert counts(registry) == {"Anna": 2, "Bert": 1} | {f"n{k}": 2 for k in range(0, 40, 2)}


def test_nobody(registry):
    assert refused(lambda: registry.forget("Carla"), "'Carla'")
    registry.forget("Anna")
    registry.forget("Bert")
    assert registry.speakers() == []
    assert refused(lambda: registry.identify(recording(0, 5), COSINE), "nobody is enrolled")
    registry.enrol("Anna", [enrolled(1, 0)])
    assert counts(registry) == {"Anna": 1}


def test_a_write_that_fails_leaves_what_was_there(registry, folder, monkeypatch):
    def fail(*_):
        raise DataError("no space")

    monkeypatch.setattr(Store, "note", fail)
    assert refused(lambda: registry.enrol("Carla", [enrolled(9, 9)]), "no space")
    monkeypatch.undo()
    assert counts(registry) == {"Anna": 2, "Bert": 1}
    registry.enrol("Carla", [enrolled(9, 9)])
    assert list(counts(registry)) == ["Anna", "Bert", "Carla"]


def test_what_the_system_refuses_is_told_with_what_to_do(registry, folder, monkeypatch):
    monkeypatch.setattr("cmd_speaker.registry.store.WAIT_SECONDS", 0)
    with Registry.open(folder) as other:
        database = other._rows.store._db

        def enrol():
            other.enrol("Carla", [enrolled(9, 9)])

        with registry._rows.store.writing():
            assert refused(enrol, FILE_NAME, "another process", "Run the command again")
        database.execute("PRAGMA query_only = ON")
        assert refused(enrol, FILE_NAME, "Let it be written to")
        database.execute("PRAGMA query_only = OFF")
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}")
        long = "x" * 999
        assert refused(
            lambda: other.enrol_all((f"{long}{k}", [enrolled(9, k)]) for k in range(9)), "Free some space"
        )
    assert counts(registry) == {"Anna": 2, "Bert": 1}


CHANGES = (
    ("PRAGMA user_version = 3", "another version"),
    ("PRAGMA application_id = 7", "another version"),
    (f"UPDATE registry SET model = '{'b' * 64}'", "the registry was changed"),
    ("UPDATE registry SET id = '00'", "the registry was changed"),
    ("UPDATE registry SET id = 'no hex'", "the registry was changed"),
    ("UPDATE registry SET proof = 'text'", "the registry was changed"),
    ("DELETE FROM registry", "the registry was changed"),
    ("UPDATE recordings SET content = zeroblob(98) WHERE id = 2", "row 2: the registry was changed"),
    ("UPDATE recordings SET content = x'00' WHERE id = 2", "row 2: the registry was changed"),
    ("UPDATE recordings SET speaker = (SELECT speaker FROM recordings WHERE id = 3) WHERE id = 1", "row 1"),
)


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_changes_are_found(registry, folder, change, message):
    with sqlite3.connect(folder / FILE_NAME) as database:
        database.execute(change)
    database.close()

    def read():
        with Registry.open(folder) as again:
            again.speakers()

    assert refused(read, FILE_NAME, message)


def test_what_is_no_registry(folder, tmp_path):
    assert refused(lambda: Registry.open(folder), "no such registry")
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(b"something else, of some length" * 100)
    assert refused(lambda: Registry.open(folder), FILE_NAME, "not a database")
    (folder / FILE_NAME).write_bytes(b"")
    assert refused(lambda: Registry.open(folder), "no such registry")
    with Registry.begin(folder, MODEL, tmp_path) as registry:
        assert registry.speakers() == []


def test_the_index_finds_whom_exact_search_finds(folder, monkeypatch):
    pytest.importorskip("faiss")
    vectors = np.random.default_rng(0).standard_normal((2000, 16), dtype=np.float32)
    with Registry.begin(folder, MODEL, folder) as registry:
        registry.enrol_all((f"n{k}", [enrolled(*vector)]) for k, vector in enumerate(vectors))
        exact = [registry.identify(recording(*vector), calibrated(), top=3) for vector in vectors[:50] + 0.1]
        near = [
            registry.identify(recording(*vector), calibrated(), top=3, approximate=True)
            for vector in vectors[:50] + 0.1
        ]
    assert [found.name for found in near] == [found.name for found in exact]
    for one, other in zip(near, exact, strict=True):
        assert one.threshold == other.threshold, "the prior is that of all who are enrolled"
        np.testing.assert_allclose(one.candidates[0].llr, other.candidates[0].llr, rtol=1e-6)
    (said,) = near[0].warnings[len(exact[0].warnings) :]
    assert "approximate search in" in said
    assert "recordings was among its 100 candidates in" in said


def test_the_index_needs_its_library(registry, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(UsageError, match=r"cmd-speaker\[index\]"):
        registry.identify(recording(0, 5), COSINE, approximate=True)
    assert registry.identify(recording(0, 5), COSINE).candidates[0].name == "Bert"
