"""Which bank row an utterance takes at each step, and the map of the classes."""

from collections import Counter

import numpy as np
import pytest
import torch

from cmd_speaker.errors import DataError
from cmd_speaker.teachers.matching import check_classes, match_rows
from tests.teachers import write_faces

UTTERANCES = [("u1", "a", "x", ""), ("u2", "a", "y", ""), ("u3", "b", "x", ""), ("u4", "c", "", "")]
PLACES = [
    ("identity", "a"), ("session", "a/x"), ("session", "a/x"), ("session", "a/x"), ("identity", "b"),
    ("identity", "b"),
]  # fmt: skip
IDENTITIES = ["a", "a", "a", "a", "b", "b"]


@pytest.fixture
def manifest(tmp_path):
    return write_faces(tmp_path / "train.csv", UTTERANCES)


@pytest.fixture
def match(manifest):
    return match_rows(PLACES, manifest)


def drawn(match, teacher="face", seed=1, epoch=1, index=0):
    return match.drawn(teacher, seed, epoch, index)


def test_a_row_is_drawn_among_those_of_the_most_specific_level(match):
    """Of u1's session, and not of its identity; u2's session has none, c has none at all."""
    counts = Counter(drawn(match, epoch=epoch) for epoch in range(600))
    assert set(counts) == {1, 2, 3}
    assert all(150 < count < 250 for count in counts.values())  # 200 +/- 4 standard deviations of 11.5
    assert {drawn(match, epoch=epoch, index=1) for epoch in range(20)} == {0}
    assert {drawn(match, epoch=epoch, index=2) for epoch in range(20)} == {4, 5}
    assert {drawn(match, epoch=epoch, index=3) for epoch in range(20)} == {-1}


def test_a_draw_depends_on_seed_epoch_utterance_and_teacher_only(manifest, match):
    def draws(**changes):
        return [drawn(match, **{"epoch": epoch, **changes}) for epoch in range(40)]

    before = draws()
    torch.manual_seed(9), np.random.seed(9)
    drawn(match, index=2)
    assert draws() == before
    assert draws(seed=2) != before
    assert draws(teacher="text") != before
    same_group = write_faces(manifest.path, [*UTTERANCES, ("u5", "a", "x", "")])
    later = match_rows(PLACES, same_group)
    assert [drawn(later, epoch=epoch) for epoch in range(40)] == before, "another utterance changes nothing"
    assert [drawn(later, epoch=epoch, index=4) for epoch in range(40)] != before


def test_a_draw_is_no_copy_of_the_crop(match):
    """The crop's numbers come from (seed, epoch, index) alone: the row must not follow them."""
    same = 0
    for epoch in range(300):
        crop = np.random.default_rng((1, epoch, 0)).choice(match.candidates(0))
        same += int(crop == drawn(match, epoch=epoch))
    assert 60 < same < 140  # a third of 300 +/- 5 standard deviations of 8.2


def test_rows_that_do_not_change_are_dealt_in_turn(tmp_path):
    manifest = write_faces(tmp_path / "m.csv", [(f"u{k}", "a", "x", "") for k in range(5)])
    match = match_rows(PLACES, manifest)
    assert [match.dealt(k) for k in range(5)] == [1, 2, 3, 1, 2]


def test_level_and_key_of_each_utterance_are_recorded(match, manifest, tmp_path):
    match.save(tmp_path / "matches.csv", manifest)
    assert (tmp_path / "matches.csv").read_text() == (
        "ID,level,key\nu1,session,a/x\nu2,identity,a\nu3,identity,b\nu4,none,\n"
    )


def classes(match, manifest, identities=IDENTITIES, labels=(1, 1, 1, 1, 0, 0)):
    return check_classes(match, identities, np.array(labels), manifest)


def test_speakers_without_input_are_told(match, manifest):
    assert classes(match, manifest) == ["c"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"identities": ["a", "a", "a", "a", "b", "z"]}, "not trained on.*found z"),
        ({"labels": (1, 1, 1, 1, 0, 2)}, "several classes of the teacher.*found b"),
        ({"identities": ["a", "a", "b", "a", "b", "b"], "labels": [0] * 6}, "another speaker's.*found a"),
    ],
)
def test_contradictory_classes_are_refused(match, manifest, changes, message):
    with pytest.raises(DataError, match=rf"train\.csv: .*{message}"):
        classes(match, manifest, **changes)


def test_nobody_matched_is_refused(manifest):
    match = match_rows([("identity", "A"), ("identity", "B")], manifest)
    with pytest.raises(DataError, match=r"no utterance has an input.*speakers like a, b, c.*found A, B"):
        classes(match, manifest, ["A", "B"], (0, 1))
