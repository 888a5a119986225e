"""Which bank row an utterance takes at each step, and the map of the classes."""

from collections import Counter

import numpy as np
import pytest
import torch

from cmd_speaker.errors import DataError
from cmd_speaker.teachers.bank import TeacherInput
from cmd_speaker.teachers.matching import check_classes, check_speakers, match_rows
from cmd_speaker.teachers.stage1 import prepare_teacher
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


def test_speakers_without_input_are_told(match, manifest):
    assert check_speakers(match, IDENTITIES, manifest) == ["c"]


@pytest.mark.parametrize(
    ("identities", "message"),
    [
        (["a", "a", "a", "a", "b", "z"], "not trained on.*found z"),
        (["a", "a", "b", "a", "b", "b"], "another speaker's.*found a"),
        (["b", "b", "b", "b", "a", "a"], "another speaker's.*found a, b"),
    ],
)
def test_inputs_of_other_speakers_are_refused(match, manifest, identities, message):
    with pytest.raises(DataError, match=rf"train\.csv: .*{message}"):
        check_speakers(match, identities, manifest)


def test_nobody_matched_is_refused(manifest):
    match = match_rows([("identity", "A"), ("identity", "B")], manifest)
    with pytest.raises(DataError, match=r"no utterance has an input.*speakers like a, b, c.*found A, B"):
        check_speakers(match, ["A", "B"], manifest)


def test_a_speaker_of_two_classes_is_refused(tmp_path):
    check_classes(IDENTITIES, [1, 1, 1, 1, 0, 0], tmp_path)
    with pytest.raises(DataError, match=r"several classes of the teacher.*found b"):
        check_classes(IDENTITIES, [1, 1, 1, 1, 0, 2], tmp_path)


def test_speakers_are_checked_before_a_teacher_is_fitted(manifest, tmp_path):
    """As if a preparation had named u3's speaker otherwise."""

    class Foreign:
        modality = "vectors"

        def inputs(self, manifest):
            return [TeacherInput(level, key, "z", "", "", "") for level, key in PLACES]

    with pytest.raises(DataError, match=r"not trained on.*found z"):
        prepare_teacher("face", Foreign(), tmp_path / "t", manifest, 8)
    assert not (tmp_path / "t").exists()
