"""The table of utterances: what it holds, and that each error names its file and row."""

import csv
from pathlib import Path

import pytest

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import file_checksum
from cmd_speaker.manifest import load_manifest, write_manifest

HEADER = "ID,duration,wav,start,stop,spk_id,session,text\n"
GOOD = "u1,2.5,$data_root/b/1.wav,0,40000,bob,s1,hello\nu2,1,$data_root/a/2.wav,,,ann,s2,\n"


@pytest.fixture
def manifest(tmp_path):
    """A function that writes text as a manifest and returns its path."""

    def write(text):
        path = tmp_path / "train.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def assert_refused(path, *parts, **arguments):
    """The errors of the manifest, whose messages together hold `parts` and name the file."""
    with pytest.raises((DataError, DataErrors)) as caught:
        load_manifest(path, "/corpus", **arguments)
    for part in (str(path), *parts):
        assert part in str(caught.value)
    return getattr(caught.value, "errors", [caught.value])


def test_loads_rows_in_order(manifest):
    loaded = load_manifest(manifest(HEADER + GOOD), "/corpus")
    assert len(loaded) == 2
    first, second = loaded
    assert (first.id, first.wav, first.spk_id) == ("u1", Path("/corpus/b/1.wav"), "bob")
    assert (first.duration, first.start, first.stop, first.row) == (2.5, 0, 40000, 2)
    assert (second.start, second.stop, second.row) == (0, None, 3)
    assert loaded.column("text") == ["hello", ""]
    assert loaded.column("session") == ["s1", "s2"]


def test_label_map_is_sorted_and_independent_of_row_order(manifest):
    loaded = load_manifest(manifest(HEADER + GOOD + "u3,1,c.wav,,,bob,,\n"), "/corpus")
    assert loaded.speakers == ["ann", "bob"]
    assert loaded.label_map() == {"ann": 0, "bob": 1}


def test_unknown_column(manifest):
    loaded = load_manifest(manifest(HEADER + GOOD), "/corpus")
    with pytest.raises(DataError, match=r"train\.csv, row 1: .*no column 'face' .*found ID.*session, text"):
        loaded.column("face")


def test_no_such_manifest(tmp_path):
    assert_refused(tmp_path / "none.csv", "no such manifest")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "ID,duration,wav,start,spk_id\nu1,1,a.wav,0,bob\n",
            ("row 1", "lacks the column stop", "found ID,duration,wav,start,spk_id"),
        ),
        ("", ("lacks the column ID, duration", "found an empty file")),
        (HEADER, ("has no rows",)),
        (HEADER + 'u1,1,a.wav,,,bob,,"two\nu2,1,a.wav,,,bob,,\n', ("not a CSV file", "quotes in pairs")),
    ],
)
def test_unusable_table(manifest, text, parts):
    assert_refused(manifest(text), *parts)


def test_table_in_another_encoding(manifest):
    path = manifest(HEADER + GOOD)
    path.write_bytes(path.read_bytes().replace(b"hello", "h\u00e9".encode("latin-1")))
    assert_refused(path, "not a CSV file", "expected comma-separated UTF-8")


def test_byte_order_mark_is_ignored(manifest):
    assert len(load_manifest(manifest("\ufeff" + HEADER + GOOD), "/corpus")) == 2


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        (",1,a.wav,,,bob,,", ("bad ID", "expected a value")),
        ("u9,1,,,,bob,,", ("bad wav of 'u9'", "expected a value")),
        ("u9,1,a.wav,,,,,", ("bad spk_id of 'u9'",)),
        ("u9,long,a.wav,,,bob,,", ("bad duration of 'u9'", "expected seconds", "found 'long'")),
        ("u9,0,a.wav,,,bob,,", ("bad duration", "expected a positive number", "found '0'")),
        ("u9,nan,a.wav,,,bob,,", ("bad duration", "found 'nan'")),
        ("u9,1,a.wav,x,,bob,,", ("bad start of 'u9'", "whole number of samples", "found 'x'")),
        ("u9,1,a.wav,-3,,bob,,", ("bad start of 'u9'", "found '-3'")),
        ("u9,1,a.wav,0,2.5,bob,,", ("bad stop of 'u9'", "whole number of samples", "found '2.5'")),
        ("u9,1,a.wav,10,10,bob,,", ("bad stop of 'u9'", "expected more than start (10)", "found '10'")),
        ("u9,1,a.wav,,,bob", ("another number of fields",)),
        ("u9,1,a.wav,,,bob,s,one, two", ("another number of fields", "Quote values")),
    ],
)
def test_bad_row(manifest, row, parts):
    errors = assert_refused(manifest(f"{HEADER}{GOOD}{row}\n"), "row 4", "1 of 3 rows", *parts)
    assert [error.row for error in errors] == [4]


def test_duplicate_id_names_both_rows(manifest):
    path = manifest(HEADER + GOOD + "u1,1,c.wav,,,ann,,\n")
    assert_refused(path, f"{path}, row 4: duplicate ID 'u1'", "the same ID in row 2")


def test_reports_all_bad_rows_in_one_pass(manifest):
    path = manifest(HEADER + "u1,x,a.wav,,,bob,,\n" + GOOD + "u2,1,a.wav,,,bob,,\nu5,1,a.wav,9,3,bob,,\n")
    errors = assert_refused(path, "3 of 5 rows are wrong")
    assert [error.row for error in errors] == [2, 5, 6]


def test_data_root_must_be_given(manifest):
    with pytest.raises(DataErrors, match=r"row 2: .*begin with \$data_root.*--data-root"):
        load_manifest(manifest(HEADER + GOOD))


def test_wrong_root_is_one_error(manifest, tmp_path):
    path = manifest(HEADER + GOOD)
    with pytest.raises(DataError) as caught:
        load_manifest(path, tmp_path / "elsewhere", check_files=True)
    for part in (
        f"{path}, row 2: none of the 2 audio files exists",
        str(tmp_path / "elsewhere"),
        "data root",
    ):
        assert part in str(caught.value)


def test_missing_and_empty_audio_are_listed(manifest, tmp_path):
    for name, content in (("b/1.wav", b"RIFF"), ("a/2.wav", b"")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
    path = manifest(HEADER + GOOD + "u3,1,$data_root/none.wav,,,ann,,\n")
    with pytest.raises(DataErrors) as caught:
        load_manifest(path, tmp_path, check_files=True)
    assert [(error.row, error.found) for error in caught.value.errors] == [
        (3, "an empty file"),
        (4, "no such file"),
    ]


def test_write_then_load(tmp_path):
    path = tmp_path / "new" / "m.csv"
    write_manifest(path, ["text"], [["u1", 1.5, "$data_root/a.wav", 0, 24000, "ann", 'a "word", two']])
    assert path.read_bytes().startswith(b"ID,duration,wav,start,stop,spk_id,text\n")
    (row,) = load_manifest(path, "/corpus")
    assert (row.duration, row.stop, row.fields["text"]) == (1.5, 24000, 'a "word", two')
    with path.open(newline="") as file:
        assert next(csv.DictReader(file))["wav"] == "$data_root/a.wav"


def test_checksum(tmp_path):
    # SHA-256 of "abc": FIPS 180-4, example in its appendix.
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert file_checksum(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
