"""What a corpus should look like: `check_data`, known trial lists, and the Kaldi tables under it."""

import gzip
import hashlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from cmd_speaker.corpora import CORPORA, check_data, recognise_list, trial_lists
from cmd_speaker.errors import DataError, DataErrors, UsageError
from cmd_speaker.files import file_checksum
from cmd_speaker.kaldi import AUDIO_SUFFIXES, find_audio, list_audio, probe_listed, read_parts, read_table

SENTENCE = "900100001\tZERO THREE FIVE ONE\n"


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def assert_refused(call, *parts):
    with pytest.raises((DataError, DataErrors)) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)
    return caught.value


def status(report, what):
    """Status -> what was found, of the rows about `what`."""
    return {row.status: row.found for row in report.rows if row.what == what}


def test_table_values_may_hold_spaces(tmp_path):
    path = tmp_path / "text"
    path.write_text("\ufeffu1\tWE CALL IT\r\nu2   BEAR \r\n\n", encoding="utf-8")
    assert read_table(path) == {"u1": "WE CALL IT", "u2": "BEAR"}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (
            b"u1 a\nu2\nu1 b\n\nu3 c\n",
            ("3 of 5 rows", "row 2: no value", "'u2' alone", "row 4", "an empty line"),
        ),
        (b"u1 a\nu2 b\nu1 c\n", ("row 3: duplicate 'u1'", "found the same key in row 1")),
        (b"\n \n", ("the table has no rows",)),
        (b"u1 caf\xe9\n", ("not text", "expected UTF-8", "byte 6")),
    ],
)
def test_wrong_table(tmp_path, content, parts):
    path = tmp_path / "text"
    path.write_bytes(content)
    assert_refused(lambda: read_table(path), str(path), *parts)


@pytest.mark.parametrize("name", ["wav.scp", "utt2spk", "text", "spk2gender", "spk2age"])
def test_missing_table(speechocean_copy, name):
    path = speechocean_copy / "test" / name
    path.rename(path.with_name("other"))
    assert_refused(
        lambda: read_parts(speechocean_copy), f"{path}: no such table (expected {name}, found other, "
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("utt2spk", "900100001\t9001\n", "", "wav.scp, row 18: '900100001' has no row in utt2spk"),
        ("text", SENTENCE, "", "wav.scp, row 18: '900100001' has no row in text"),
        ("wav.scp", "900100001\tWAVE/SPEAKER9001/900100001.WAV\n", "", "utt2spk, row 18: '900100001' has no"),
        ("spk2gender", "9001\tm\n", "", "utt2spk, row 17: '9001' has no row in spk2gender"),
        ("spk2age", "9001\t33\n", "", "utt2spk, row 17: '9001' has no row in spk2age"),
    ],
)
def test_tables_that_do_not_fit_together(speechocean_copy, name, old, new, expected):
    edit(speechocean_copy / "train" / name, old, new)
    assert_refused(lambda: read_parts(speechocean_copy), f"{speechocean_copy / 'train'}/{expected}")
    report = check_data("speechocean762", speechocean_copy)
    assert not report.ok
    assert expected in status(report, "tables")["problem"]


def test_speaker_in_two_parts(speechocean_copy):
    edit(speechocean_copy / "test" / "utt2spk", "\t9101\n", "\t9001\n")
    for name in ("spk2gender", "spk2age"):
        edit(speechocean_copy / "test" / name, "9101\t", "9001\t")
    found = "speaker '9001' belongs to two parts (expected disjoint parts, found '9001' in train too)"
    where = f"{speechocean_copy / 'test' / 'utt2spk'}, row 1"
    assert len(assert_refused(lambda: read_parts(speechocean_copy), f"{where}: {found}").errors) == 4


def test_utterance_in_two_parts(speechocean_copy):
    for name in ("wav.scp", "utt2spk", "text"):
        edit(speechocean_copy / "test" / name, "910100002\t", "900100002\t")
    assert_refused(
        lambda: read_parts(speechocean_copy), "utt2spk, row 3: utterance '900100002' belongs to two parts"
    )


def test_finds_audio_with_another_suffix(tmp_path):
    (tmp_path / "a.x").mkdir()
    for suffix in AUDIO_SUFFIXES:
        path = tmp_path / "a.x" / f"1{suffix}"
        path.touch()
        assert find_audio(tmp_path, "a.x/1.mp3") == path
        path.unlink()
    assert find_audio(tmp_path, "a.x/1.mp3") is None
    for name in ("1.wav", "1.opus"):
        (tmp_path / "a.x" / name).touch()
    assert find_audio(tmp_path, "a.x/1.opus").name == "1.opus", "the named file comes first"


def test_every_missing_and_bad_file_is_placed_in_its_list(speechocean_copy):
    wave = speechocean_copy / "WAVE"
    (wave / "SPEAKER9001" / "900100001.WAV").unlink()
    (wave / "SPEAKER9101" / "910100003.WAV").write_bytes(b"")
    soundfile.write(wave / "SPEAKER9102" / "910200000.WAV", np.ones(8000), 8000)
    soundfile.write(wave / "SPEAKER9102" / "910200001.WAV", np.ones(800), 16000)
    edit(speechocean_copy / "test" / "wav.scp", "WAVE/SPEAKER9104/910400003", f"{wave}/SPEAKER9104/910400003")
    listed = list_audio(speechocean_copy, read_parts(speechocean_copy))
    results = probe_listed(speechocean_copy, listed)
    errors = [result for result in results if isinstance(result, DataError)]
    assert [(error.file.parent.name, error.row) for error in errors] == [
        ("train", 18), ("test", 4), ("test", 5), ("test", 6), ("test", 16),
    ]  # fmt: skip
    assert "no such audio file" in errors[0].problem
    assert "910100003.WAV: the file is empty" in errors[1].problem
    assert errors[2].found == "8000 Hz, 1 channel(s), 1.000 s"
    assert errors[3].found == "16000 Hz, 1 channel(s), 0.050 s"
    assert f"a path relative to {speechocean_copy}" in errors[4].expected
    summary, *problems = check_data("speechocean762", speechocean_copy).problems
    assert summary.found == "35 good (35 .WAV), 5 bad"
    assert [problem.found for problem in problems] == [str(error) for error in errors]


def test_a_part_of_the_corpus_is_a_note(tiny_speechocean):
    report = check_data("speechocean762", tiny_speechocean())
    assert report.ok
    assert status(report, "train/utt2spk") == {"note": "24 lines (a part)"}
    assert status(report, "test tables") == {"ok": "4 speakers, 16 utterances"}
    assert status(report, "audio") == {"ok": "40 good (40 .WAV), 0 bad"}
    assert list(status(report, "test/trials.txt")) == ["note"]


def test_more_than_the_corpus_has_is_a_problem(speechocean_copy):
    path = speechocean_copy / "train" / "spk2age"
    path.write_text(path.read_text() + "".join(f"x{number}\t20\n" for number in range(120)))
    report = check_data("speechocean762", speechocean_copy)
    assert status(report, "train/spk2age") == {"problem": "126 lines"}
    assert [row.what for row in report.problems] == ["train/spk2age"]


def test_unknown_and_known_lists(speechocean_copy, monkeypatch):
    path = speechocean_copy / "test" / "trials.txt"
    path.write_text("1 910100000 910100001\n")
    what = "test/trials.txt SHA-256"
    assert status(check_data("speechocean762", speechocean_copy), what) == {"note": "an unknown list"}
    (expected,) = (file for file in CORPORA["speechocean762"].files if file.path == "test/trials.txt")
    monkeypatch.setitem(expected.known, file_checksum(path), "one trial")
    assert status(check_data("speechocean762", speechocean_copy), what) == {"ok": "one trial"}


def test_audio_in_no_list_and_audio_listed_twice(speechocean_copy):
    folder = speechocean_copy / "WAVE" / "SPEAKER9001"
    shutil.copy(folder / "900100001.WAV", folder / "spare.WAV")
    report = check_data("speechocean762", speechocean_copy)
    assert report.ok
    assert status(report, "audio in no list") == {"note": "1 files, not used"}
    edit(speechocean_copy / "train" / "wav.scp", "9001/900100002.WAV", "9001/900100001.WAV")
    report = check_data("speechocean762", speechocean_copy)
    assert status(report, "audio listed twice") == {"problem": "1 files"}


def test_full_decodes_every_file(tiny_speechocean, tmp_path):
    root = shutil.copytree(tiny_speechocean(".flac"), tmp_path / "corpus")
    path = root / "WAVE" / "SPEAKER9001" / "900100001.flac"
    path.write_bytes(path.read_bytes()[:-2000])
    assert check_data("speechocean762", root).ok, "the header does not tell"
    (summary, problem) = check_data("speechocean762", root, full=True).problems
    assert summary.found == "39 good (39 .flac), 1 bad"
    assert f"{root / 'train' / 'wav.scp'}, row 18" in problem.found
    assert "decoding failed" in problem.found


def test_another_folder_has_a_problem_for_each_missing_file(tmp_path):
    (tmp_path / "holiday").mkdir()
    report = check_data("speechocean762", tmp_path)
    assert {row.what for row in report.problems} >= {"train/wav.scp", "test/spk2age", "tables", "audio"}
    assert f"no folder {tmp_path / 'train'}" in status(report, "train/wav.scp")["problem"]
    report = check_data("librispeech_mini", tmp_path)
    assert f"holiday/ in {tmp_path}" in status(report, "utterances.csv")["problem"]


def test_unknown_name_and_folder(tmp_path):
    with pytest.raises(UsageError, match=r"'SpeechOcean'; known: librispeech_mini, .*mean speechocean762\?"):
        check_data("SpeechOcean", tmp_path)
    with pytest.raises(UsageError, match=r"known: librispeech_mini, speechocean762, voxceleb\.$"):
        check_data("qqq", tmp_path)
    assert_refused(
        lambda: check_data("librispeech_mini", tmp_path / "none"), "no such folder", "utterances.csv"
    )


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_real_corpus_is_in_order(shared_data, name):
    if not (shared_data / name).is_dir():
        pytest.skip(f"the corpus is not there: {shared_data / name}")
    report = check_data(name, shared_data / name)
    assert report.ok, report.problems
    checksums = [row for row in report.rows if "SHA-256" in row.what]
    assert checksums
    assert all(row.status == "ok" for row in checksums)


@pytest.mark.parametrize(
    ("name", "list_name"),
    [
        ("voxceleb_lists/veri_test.txt.gz", "VoxCeleb1-O (original"),
        ("voxceleb_lists/veri_test2.txt", "VoxCeleb1-O (cleaned"),
        ("speechocean762/test/trials.txt", "speechocean762 test/trials.txt (96"),
    ],
)
def test_published_lists_are_recognised(shared_data, name, list_name):
    if not (shared_data / name).is_file():
        pytest.skip(f"the list is not there: {shared_data / name}")
    assert recognise_list(shared_data / name).startswith(list_name)


def test_a_list_is_recognised_by_its_bytes_alone(tmp_path, monkeypatch):
    text = b"1 a b\n0 a c\n"
    monkeypatch.setattr(trial_lists, "VOXCELEB1_LISTS", {hashlib.sha256(text).hexdigest(): "the list"})
    (tmp_path / "any").write_bytes(text)
    (tmp_path / "any.gz").write_bytes(gzip.compress(text))
    (tmp_path / "other").write_bytes(text + b"\n")
    assert [recognise_list(tmp_path / name) for name in ("any", "any.gz", "other")] == ["the list"] * 2 + [
        None
    ]
    (tmp_path / "cut.gz").write_bytes(gzip.compress(text)[:-9])
    assert_refused(lambda: recognise_list(tmp_path / "cut.gz"), "cut.gz", "cannot be read")
    assert_refused(lambda: recognise_list(tmp_path / "none"), "none", "cannot be read")


def test_library_starts_without_torch_and_without_data_prep():
    code = "import sys, cmd_speaker.corpora; assert not {'torch', 'data_prep'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
