"""Every mistake that people make with a folder of their own recordings, and what is said of it."""

import pytest

from cmd_speaker.errors import exit_code_of
from cmd_speaker.manifest import load_manifest
from data_prep.folder import main
from tests.folders import BY_HASH, build_tree, prepare_small, refused, rows_of, touch, write_wav


@pytest.fixture
def tree(tmp_path):
    return build_tree(tmp_path / "corpus")


def mistakes(prepared):
    return "\n".join(map(str, prepared.mistakes))


def test_a_speaker_with_one_utterance_trains_only(tree, tmp_path):
    for path in list((tree / "audio" / BY_HASH[0]).rglob("*.*"))[1:]:
        path.unlink()
    prepared = prepare_small(tree, tmp_path / "out")
    assert load_manifest(prepared.test, tree).speakers == sorted(BY_HASH[1:3])
    assert BY_HASH[0] in load_manifest(prepared.train, tree).speakers
    assert prepared.counts["speakers_with_one_utterance"] == 1


def test_unreadable_and_other_sample_rates_are_named_and_the_rest_done(tree, tmp_path, capsys):
    who = BY_HASH[4]
    (tree / "audio" / who / "s1" / "a.wav").write_bytes(b"RIFF, but no audio")
    (tree / "audio" / who / "s1" / "b.flac").write_bytes(b"")
    write_wav(tree / "audio" / who / "s2" / "a.wav", rate=8000)
    write_wav(tree / "audio" / BY_HASH[5] / "s2" / "a.wav", channels=2)
    write_wav(tree / "audio" / BY_HASH[5] / "s1" / "a.wav", seconds=0.05)
    output = tmp_path / "out"
    assert (
        exit_code_of(main, [str(tree), str(output), "--validation-speakers", "2", "--test_speakers", "2"])
        == 3
    )
    said = capsys.readouterr().err
    listed = (output / "mistakes.txt").read_text()
    for text in (f"{who}/s1/a.wav", f"{who}/s1/b.flac", "8000 Hz", "2 channel(s)", "0.050 s"):
        assert text in said
        assert text in listed
    assert len(listed.splitlines()) == 5
    assert len(load_manifest(output / "train.csv", tree, check_files=True)) == 16 - 5


def test_a_tree_of_another_sample_rate_is_refused_with_the_way_out(tree, tmp_path):
    for path in (tree / "audio").rglob("*.*"):
        write_wav(path, rate=44100)
    assert refused(tree, tmp_path / "out", "none of the 32 recordings", "44100 Hz", "ffmpeg")


def test_no_audio_says_what_is_there(tmp_path):
    touch(tmp_path / "own" / "audio" / "ada" / "s1" / "a.m4a")
    assert refused(tmp_path / "own", tmp_path / "out", "no audio below", "1 .m4a", "ffmpeg")
    assert refused(tmp_path / "gone", tmp_path / "out", "no such folder", "gone")


@pytest.mark.parametrize(
    ("place", "text"), [("audio", "one level too few"), ("audio/a/b/c/d", "2 levels too many")]
)
def test_a_tree_that_begins_elsewhere(tmp_path, place, text):
    for name in "ab":
        write_wav(tmp_path / "own" / place / f"{name}.wav")
    assert refused(tmp_path / "own", tmp_path / "out", text, "speaker/session/utterance.wav", "a.wav")


def test_single_files_on_another_level(tree, tmp_path):
    write_wav(tree / "audio" / "ada" / "loose.wav")
    write_wav(tree / "audio" / "ben" / "s1" / "take2" / "deep.wav")
    assert refused(
        tree,
        tmp_path / "out",
        "2 of 34 files",
        "loose.wav: one level too few",
        "deep.wav: one level too many",
    )


def test_two_folders_of_audio(tree, tmp_path):
    write_wav(tree / "wav" / "ada" / "s1" / "a.wav")
    assert refused(tree, tmp_path / "out", "two folders of audio", "--audio")
    assert prepare_small(tree, tmp_path / "out", audio=tree / "audio").counts["train_utterances"] == 16


@pytest.mark.parametrize("name", ["ann marie", "ann,marie", "ann\tmarie"])
def test_names_that_no_list_can_hold(tree, tmp_path, name):
    write_wav(tree / "audio" / name / "s1" / "a.wav")
    write_wav(tree / "audio" / name / "s1" / "b.wav")
    assert refused(tree, tmp_path / "out", "1 names cannot be used", ascii(name), "Rename")


def test_one_utterance_in_two_files(tree, tmp_path):
    write_wav(tree / "audio" / "ada" / "s1" / "a.flac")
    assert refused(tree, tmp_path / "out", "duplicate utterance 'ada/s1/a'", "ada/s1/a.flac")


def test_faces_and_texts_of_nobody(tree, tmp_path):
    touch(tree / "faces" / "adda" / "1.jpg")
    touch(tree / "faces" / "ben" / "s3" / "1.jpg")
    touch(tree / "faces" / "cleo" / "s1" / "zzz" / "1.jpg")
    touch(tree / "faces" / "dora" / "face.gif")
    touch(tree / "faces" / "1.jpg")
    touch(tree / "text" / "clea.txt", "Tall.")
    touch(tree / "text" / "list.md", "Tall.")
    prepared = prepare_small(tree, tmp_path / "out")
    said = mistakes(prepared)
    assert "'adda' is nobody's in the audio" in said
    assert "Did you mean 'ada'?" in said
    assert "ben/s3: 's3' is nobody's" in said
    assert "cleo/s1/zzz: 'zzz' is nobody's" in said
    assert "dora: no picture in this folder" in said
    assert "faces: pictures are nobody's" in said
    assert "Did you mean 'cleo'?" in said
    assert "list.md: not a description" in said
    assert len(prepared.mistakes) == 7
    assert {row["face"] + row["text"] for row in rows_of(prepared.train)} == {""}


def test_descriptions_that_teach_nothing_or_names(tree, tmp_path):
    texts = {"ada": " \n", "ben": "Ben is a man.", "cleo": "A clever woman.", "dora": "\udcff"}
    for name, text in texts.items():
        path = tree / "text" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode(errors="surrogateescape"))
    said = mistakes(prepare_small(tree, tmp_path / "out"))
    assert "ada.txt: the description is empty" in said
    assert "ben.txt: the description holds the name" in said
    assert "'Ben'" in said
    assert "dora.txt: the description cannot be read" in said
    assert "cleo" not in said


@pytest.mark.parametrize("speaker", ["Anna_Schmidt", "schmidt-2"])
def test_a_part_of_the_folders_name_is_a_name(tree, tmp_path, speaker):
    for session in ("s1", "s2"):
        write_wav(tree / "audio" / speaker / session / "a.wav")
    touch(tree / "text" / f"{speaker}.txt", "Mrs Schmidt is calm.")
    assert "'Schmidt'" in mistakes(prepare_small(tree, tmp_path / "out"))


@pytest.mark.parametrize(
    ("validation", "test", "text"),
    [(1, 2, "expected 0, or 2 and more"), (-2, 0, "expected 0, or 2"), (4, 4, "8 speakers")],
)
def test_numbers_of_speakers_that_cannot_be(tree, tmp_path, validation, test, text):
    assert refused(tree, tmp_path / "out", text, validation_speakers=validation, test_speakers=test)
