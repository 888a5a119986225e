"""Groups of trials by hand, and the worst trials."""

import numpy as np
import pytest

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation.bootstrap import speaker_interval
from cmd_speaker.evaluation.breakdown import breakdown
from cmd_speaker.evaluation.metrics import SortedScores, eer
from cmd_speaker.evaluation.worst import worst_trials
from cmd_speaker.lists.metadata import load_metadata
from cmd_speaker.lists.scores import Scores, load_scores
from cmd_speaker.lists.speakers import trial_speakers
from cmd_speaker.lists.trials import Trials, all_pairs

# Speakers a and b are f, c and d m. Targets 5, 6, 7, 1; nontargets 8, 2, 3, 4: between 4 and 5, FAR and FRR are
# both 1/4, and 5 is the first score where FAR <= FRR, so that the common threshold is 5.
SCORES = """a1 a2 5 1
b1 b2 6 1
c1 c2 7 1
d1 d2 1 1
a1 b1 8 0
b1 c1 2 0
c1 d1 3 0
d1 a1 4 0
"""
UTT2SPK = {f"{speaker}{k}": speaker for speaker in "abcd" for k in (1, 2)}
TABLE = """ID,gender,age,session,noise
a1,f,10,s1,
a2,f,20,s2,no
b1,f,30,s3,no
b2,f,40,s3,no
c1,m,50,s4,yes
c2,m,60,s5,yes
d1,m,70,s6,yes
d2,m,80,s7,unknown
"""


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text(SCORES)
    return load_scores(path)


@pytest.fixture
def metadata(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return load_metadata(path)


def rows(groups):
    return [(group.name, group.targets, group.nontargets, group.far, group.frr) for group in groups]


def test_pairs_of_values(scores, metadata):
    groups = breakdown(scores, metadata, ["gender"], UTT2SPK)
    assert eer(scores.scores, scores.labels) == (0.25, 5)
    # f & f: targets 5, 6 accepted, nontarget 8 accepted. m & m: targets 7, 1, nontarget 3. f & m: nontargets 2, 4.
    assert rows(groups) == [
        ("f & f", 2, 1, 1.0, 0.0),
        ("f & m", 0, 2, 0.0, None),
        ("m & m", 2, 1, 0.0, 0.5),
    ]
    assert [group.speakers for group in groups] == [2, 4, 2]
    assert [group.column for group in groups] == ["gender"] * 3
    # f & f: both targets are below the nontarget. m & m: (FAR, FRR) is (1, 0) at 1, (1, 1/2) at 3, (0, 1/2) at 7:
    # the sign changes from 3 to 7 with FRR 1/2.
    assert [group.eer for group in groups] == [1.0, None, 0.5]
    # Four speakers are too few for an interval.
    assert [group.eer_interval for group in groups] == [None] * 3


def test_speakers_are_counted_only_where_they_are_known(scores, metadata):
    groups = breakdown(scores, metadata, ["gender"])
    assert [group.speakers for group in groups] == [None] * 3
    assert groups[0].eer == 1


def test_bands_of_given_edges(scores, metadata):
    groups = breakdown(scores, metadata, ["age:30,60"])
    # a is under 30, b and c1 from 30 to below 60, c2 and d from 60.
    assert rows(groups) == [
        ("under 30 & under 30", 1, 0, None, 0.0),
        ("under 30 & 30 to 60", 0, 1, 1.0, None),
        ("under 30 & from 60", 0, 1, 0.0, None),
        ("30 to 60 & 30 to 60", 1, 1, 0.0, 0.0),
        ("30 to 60 & from 60", 1, 1, 0.0, 0.0),
        ("from 60 & from 60", 1, 0, None, 1.0),
    ]
    assert groups[0].column == "age"


def test_bands_of_thirds_of_the_utterances_used(scores, metadata):
    # The ages 10 to 80: a third of the way from 10 to 80 is 33.33, two thirds 56.67; edges keep three digits.
    names = [group.name for group in breakdown(scores, metadata, ["age"])]
    assert names[:2] == ["under 33.3 & under 33.3", "under 33.3 & 33.3 to 56.7"]
    # Without the targets of d, d2 is in no trial: ages 10 to 70, and thirds at 30 and 50.
    kept = np.arange(8) != 3
    fewer = Scores(scores.trials.take(kept), scores.scores[kept])
    names = [group.name for group in breakdown(fewer, metadata, ["age"])]
    assert names[0] == "under 30 & under 30"


def test_some_values_that_are_no_numbers_have_a_group_each(scores, tmp_path):
    # CN-Celeb has 11 genres; here are 7. Only a1 and a2 share one: the target 5, accepted at the threshold 5.
    # Of the others the targets are 6, 7 and 1, which is rejected, the nontargets 8, which is accepted, 2, 3 and 4.
    genres = ("speech", "speech", "vlog", "play", "drama", "movie", "singing", "live_broadcast")
    table = tmp_path / "genres.csv"
    table.write_text("ID,genre\n" + "".join(f"{n},{g}\n" for n, g in zip(UTT2SPK, genres, strict=True)))
    assert rows(breakdown(scores, load_metadata(table), ["genre"])) == [
        ("speech & speech", 1, 0, None, 0.0),
        ("different", 3, 4, 0.25, 1 / 3),
    ]


def test_many_values_are_the_same_or_different(scores, metadata, monkeypatch):
    # Only b1 and b2 are of one session; seven sessions are taken for many here.
    monkeypatch.setattr("cmd_speaker.evaluation.breakdown.SOME_VALUES", 6)
    assert rows(breakdown(scores, metadata, ["session"])) == [
        ("same", 1, 0, None, 0.0),
        ("different", 3, 4, 0.25, 1 / 3),
    ]


def test_numbers_with_leading_zeros_are_names(scores, tmp_path):
    # Speakers 0001 to 0004, as corpora number them, would else be cut into thirds.
    table = tmp_path / "ids.csv"
    table.write_text("ID,code\n" + "".join(f"{a}{k},00{k}{ord(a)}\n" for a in "abcd" for k in (1, 2)))
    groups = breakdown(scores, load_metadata(table), ["code"])
    assert [group.name for group in groups] == ["different"]


def test_what_is_not_known_is_a_group(scores, metadata):
    groups = breakdown(scores, metadata, ["noise"])
    # a1 and d2 are not known: the trials a1 a2, d1 d2, a1 b1 and d1 a1.
    assert [(group.name, group.targets, group.nontargets) for group in groups] == [
        ("no & no", 1, 0),
        ("no & yes", 0, 1),
        ("yes & yes", 1, 1),
        ("unknown", 2, 2),
    ]


def test_no_trial_is_left_out(scores, metadata):
    groups = breakdown(scores, metadata, ["gender", "age", "session", "noise"])
    for column in ("gender", "age", "session", "noise"):
        chosen = [group for group in groups if group.column == column]
        assert sum(group.targets + group.nontargets for group in chosen) == 8
    assert list(dict.fromkeys(group.column for group in groups)) == ["gender", "age", "session", "noise"]


def test_few_numbers_are_values_in_their_order(scores, tmp_path):
    path = tmp_path / "few.csv"
    path.write_text("spk_id,age\na,9\nb,10\nc,9\nd,10\n")
    names = [group.name for group in breakdown(scores, load_metadata(path), ["age"], UTT2SPK)]
    assert names == ["9 & 9", "9 & 10", "10 & 10"]


def test_the_interval_of_a_group_is_that_of_its_trials(tmp_path):
    utt2spk = {f"s{k:02d}-{u}": f"s{k:02d}" for k in range(24) for u in range(3)}
    trials = all_pairs(list(utt2spk), list(utt2spk.values()))
    values = np.random.default_rng(0).standard_normal(len(trials)) + 2 * trials.labels
    path = tmp_path / "gender.csv"
    path.write_text("spk_id,gender\n" + "".join(f"s{k:02d},{'f' if k < 14 else 'm'}\n" for k in range(24)))
    groups = breakdown(
        Scores(trials, values), load_metadata(path), ["gender"], utt2spk, seed=3, replicates=50
    )
    assert [group.speakers for group in groups] == [14, 24, 10]
    assert groups[1].eer_interval is None
    enrol, test, _ = trial_speakers(trials, utt2spk)
    women = (enrol < 14) & (test < 14)
    ordered = SortedScores(values[women], trials.labels[women])
    alone = speaker_interval(ordered, enrol[women], test[women], 3, 50)
    assert groups[0].eer_interval == alone.eer
    assert groups[0].eer == ordered.curve().eer()[0]


def test_wrong_columns_and_edges(scores, metadata):
    with pytest.raises(DataError, match=r"no column 'sex'.*found ID, gender, age, session, noise"):
        breakdown(scores, metadata, ["sex"])
    for wrong in ("age:", "age:1,x", "age:40,18", "age:18,18"):
        with pytest.raises(UsageError, match="ascending numbers"):
            breakdown(scores, metadata, [wrong])


def test_worst_trials(scores):
    targets, nontargets = worst_trials(scores, 2, UTT2SPK)
    assert [(trial.enrol, trial.test, trial.score, trial.row) for trial in targets] == [
        ("d1", "d2", 1.0, 4),
        ("a1", "a2", 5.0, 1),
    ]
    assert [(trial.score, trial.row, trial.enrol_speaker, trial.test_speaker) for trial in nontargets] == [
        (8.0, 5, "a", "b"),
        (4.0, 8, "d", "a"),
    ]
    assert worst_trials(scores, 1)[0][0].enrol_speaker is None
    assert [len(side) for side in worst_trials(scores, 100)] == [4, 4]


def test_tied_trials_stand_in_the_order_of_the_list():
    count = 400
    places = np.arange(count, dtype=np.int32)
    trials = Trials([str(k) for k in range(count + 1)], places, places + 1, places % 2 == 0)
    targets, nontargets = worst_trials(Scores(trials, (places % 3).astype(np.float32)), 30)
    # The lowest score, 0, is that of every third trial; of those, every second is a target. The highest is 2.
    assert [int(trial.enrol) for trial in targets] == list(range(0, 180, 6))
    assert [int(trial.enrol) for trial in nontargets] == list(range(5, 185, 6))
