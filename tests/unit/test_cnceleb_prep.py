"""CN-Celeb's preparation, on a small tree in the form of the distribution: manifests, trials, joined audio."""

import numpy as np
import pytest
import soundfile

from cmd_speaker.corpora import check_data
from cmd_speaker.lists.trials import load_trials
from cmd_speaker.manifest import load_manifest, refuse_shared_speakers
from cmd_speaker.scoring.enrolment import load_enrol_map, members
from data_prep.joining import join_short
from tests.cnceleb import (
    BY_HASH,
    EVALUATED,
    FIRST,
    RATE,
    SECOND,
    TRAINING,
    UTTERANCES,
    build_corpus,
    lists,
    pieces,
    prepare_small,
    rows_of,
    write_flac,
)


@pytest.fixture
def corpus(tmp_path):
    return build_corpus(tmp_path / "corpus")


def test_manifests_load_and_nobody_evaluated_is_trained_on(corpus, tmp_path):
    prepared = prepare_small(corpus, tmp_path / "out")
    train, valid, test = (
        load_manifest(path, corpus, check_files=True)
        for path in (prepared.train, prepared.valid, prepared.test)
    )
    for known, other in ((train, valid), (train, test), (valid, test)):
        refuse_shared_speakers(known, other)
    assert valid.speakers == sorted(BY_HASH[:2])
    assert train.speakers == sorted((*BY_HASH[2:], *TRAINING[SECOND]))
    assert test.speakers == list(EVALUATED)
    row = rows_of(prepared.train)["id10000/live_broadcast-02-001"]
    assert row["wav"] == f"$data_root/{SECOND}/data/id10000/live_broadcast-02-001.flac"
    assert (row["session"], row["genre"], row["duration"]) == ("live_broadcast-02", "live_broadcast", "0.5")
    counts = prepared.counts
    assert (counts["train_utterances"], counts["train_singing"], counts["valid_utterances"]) == (20, 5, 8)
    assert (counts["evaluation_speakers_kept_out"], counts["recordings_kept_out"]) == (3, 9)
    assert counts["other_speakers_kept_out"] == counts["listed_speakers_without_recordings"] == 0
    assert prepared.left_out == []


def test_the_trials_are_the_corpus_own_and_all_their_names_are_in_the_manifest(corpus, tmp_path):
    prepared = prepare_small(corpus, tmp_path / "out")
    trials = load_trials(prepared.test_trials)
    rows = rows_of(prepared.test)
    assert prepared.test_trials == lists(corpus) / "trials.lst"
    assert (len(trials), int(trials.labels.sum()), prepared.counts["test_trials"]) == (9, 3, 9)
    assert set(trials.ids) <= rows.keys()
    for k, label in enumerate(trials.labels):
        a, b = (rows[name]["spk_id"] for name in trials.pair(k))
        assert (a == b) == label
    test, enrolment = rows["test/id00801-singing-01-005.wav"], rows["id00801-enroll"]
    assert test["wav"] == f"$data_root/{FIRST}/eval/test/id00801-singing-01-005.flac"
    assert (test["genre"], test["session"]) == ("singing", "singing-01")
    # The genre of an enrolment is that of the recordings which it was put together from.
    assert (enrolment["genre"], enrolment["session"], enrolment["duration"]) == ("speech", "", "0.6")


def test_validation_trials_are_of_two_sessions(corpus, tmp_path):
    prepared = prepare_small(corpus, tmp_path / "out")
    trials, rows = load_trials(prepared.valid_trials), rows_of(prepared.valid)
    # Sessions of 2, 1 and 1 utterances: 2 + 2 + 1 pairs a speaker; 4 x 4 nontargets.
    assert (len(trials), int(trials.labels.sum())) == (10 + 16, 10)
    for k in np.flatnonzero(trials.labels):
        a, b = (rows[name]["session"] for name in trials.pair(k))
        assert a != b


def test_the_enrolment_map_is_read_and_its_recordings_are_in_the_manifest(corpus, tmp_path):
    prepared = prepare_small(corpus, tmp_path / "out")
    enrolled = load_enrol_map(prepared.enrolment_map)
    assert enrolled.models["id00802-enroll"] == ["id00802/speech-01-001.wav", "id00802/speech-01-002.wav"]
    rows = rows_of(prepared.test)
    found = members(enrolled, {name: k for k, name in enumerate(rows)})
    assert (len(found.index), len(found.rows), found.missing) == (3, 6, {})
    assert {rows[name]["spk_id"] for name in enrolled.models["id00802-enroll"]} == {"id00802"}
    (lists(corpus) / "enroll.map").unlink()
    without = prepare_small(corpus, tmp_path / "out")
    assert without.enrolment_map is None
    assert not prepared.enrolment_map.exists()
    assert rows_of(without.test)["id00801-enroll"]["genre"] == ""


def test_cnceleb1_alone(corpus, tmp_path):
    (corpus / SECOND).rename(tmp_path / "elsewhere")
    prepared = prepare_small(corpus, tmp_path / "out", validation_speakers=0)
    assert load_manifest(prepared.train, corpus).speakers == list(TRAINING[FIRST])
    assert prepared.valid is prepared.valid_trials is None


def joined(clips):
    return {clip.id.removeprefix("id1/"): round(clip.samples / RATE, 3) for clip in clips}


def test_joining_by_hand():
    # Short ones in order: 2 + 2 + 1 = 5 is a clip; 3 + 1 = 4 are left over, and go to the last clip.
    assert joined(join_short(pieces(a=[2, 6, 2, 1, 3, 1]), 5)) == {"a-0+4": 9, "a-1": 6}
    # 4 + 4 = 8, 3 + 2 = 5: two clips, nothing left over.
    assert joined(join_short(pieces(a=[4, 4, 3, 2]), 5)) == {"a-0+1": 8, "a-2+1": 5}
    # Never across sessions; what a session lacks stays short, alone or joined; long ones are not touched.
    assert joined(join_short(pieces(a=[2], b=[4, 6], c=[1, 1]), 5)) == {
        "a-0": 2,
        "b-0": 4,
        "b-1": 6,
        "c-0+1": 2,
    }
    assert joined(join_short(pieces(a=[0.2, 0.1]), 0)) == {"a-0": 0.2, "a-1": 0.1}
    assert joined(join_short(pieces(a=[5, 5]), 5)) == {"a-0": 5, "a-1": 5}


def test_joined_audio_is_that_of_the_recordings(corpus, tmp_path):
    # At 0.4 s: speech-01-002 (0.2 s) and singing-01-001 are short, and alone in their sessions.
    write_flac(corpus / FIRST / "data" / "id00000" / "speech-01-003.flac", 0.3, 5)
    prepared = prepare_small(corpus, tmp_path / "out", min_seconds=0.4, validation_speakers=0)
    row = rows_of(prepared.train)["id00000/speech-01-002+1"]
    assert row["wav"] == "$data_root/CN-Celeb_joined/0.4s/id00000/speech-01-002+1.flac"
    assert (row["duration"], row["session"], row["genre"]) == ("0.5", "speech-01", "speech")
    parts = [corpus / FIRST / "data" / "id00000" / f"speech-01-00{k}.flac" for k in (2, 3)]
    expected = np.concatenate([soundfile.read(path, dtype="int16")[0] for path in parts])
    found = soundfile.read(corpus / row["wav"].removeprefix("$data_root/"), dtype="int16")[0]
    np.testing.assert_array_equal(found, expected)
    assert "id00000/speech-01-002" not in rows_of(prepared.train)
    keys = ("short_utterances", "short_utterances_joined", "joined_clips", "clips_still_short")
    # 7 speakers have two short ones each, and id00000 one more; 13 of these 15 find no company.
    assert [prepared.counts[key] for key in keys] == [15, 2, 1, 13]
    assert load_manifest(prepared.train, corpus, check_files=True)


def test_joining_goes_on_where_it_was_broken_off(corpus, tmp_path):
    write_flac(corpus / FIRST / "data" / "id00000" / "speech-01-003.flac", 0.3)
    write_flac(corpus / FIRST / "data" / "id00001" / "speech-01-003.flac", 0.3)
    folder = tmp_path / "elsewhere"
    options = {"min_seconds": 0.4, "validation_speakers": 0, "joined_folder": folder}
    prepared = prepare_small(corpus, tmp_path / "out", **options)
    one, two = (folder / "0.4s" / name / "speech-01-002+1.flac" for name in ("id00000", "id00001"))
    assert rows_of(prepared.train)["id00001/speech-01-002+1"]["wav"] == str(two)
    whole, content = one.stat().st_mtime_ns, two.read_bytes()
    write_flac(two, 0.1)
    prepare_small(corpus, tmp_path / "out", **options)
    assert two.read_bytes() == content
    two.write_bytes(b"no flac")
    prepare_small(corpus, tmp_path / "out", **options)
    assert two.read_bytes() == content
    assert one.stat().st_mtime_ns == whole


def test_who_has_a_single_clip_is_not_held_out(corpus, tmp_path):
    for name in list(UTTERANCES)[2:]:
        (corpus / FIRST / "data" / BY_HASH[0] / f"{name}.flac").unlink()
    # speech-01-001 and -002 last 0.8 s together: one clip.
    prepared = prepare_small(corpus, tmp_path / "out", min_seconds=0.7)
    assert load_manifest(prepared.valid, corpus).speakers == sorted(BY_HASH[1:3])
    assert f"{BY_HASH[0]}/speech-01-001+1" in rows_of(prepared.train)


def test_check_data_cnceleb(corpus):
    rows = {row.what: row for row in check_data("cnceleb", corpus).rows}
    assert not [row for row in rows.values() if row.status == "problem"]
    assert rows["CN-Celeb_flac speakers"].found == "8 (a part)"
    assert rows["CN-Celeb_flac speakers"].expected == "997"
    assert rows["CN-Celeb_flac utterances"].expected == "126,532"
    assert rows["CN-Celeb2_flac speakers"][1:3] == ("1,996", "2 (a part)")
    assert rows["CN-Celeb_flac not for training"].found == "3 speakers with 9 utterances"
    assert rows["evaluation trials"][1:3] == ("3,484,292", "9 (a part)")
    # 7 x 4 for training; 3 enrolments, 6 recordings of them, 3 tests.
    assert rows["audio"].found == "40 good, 0 bad"
