"""Tables of utterances and speakers, as they come."""

import numpy as np
import pytest

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.lists.metadata import load_metadata


@pytest.fixture
def table(tmp_path):
    """A function that writes a table and loads it."""

    def load(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return load_metadata(path)

    return load


def test_a_table_of_utterances(table):
    found = table('ID, gender ,age\na, f ,31\nb,m,\n\nc,"f, mostly",nan\n')
    assert found.columns == ["ID", "gender", "age"]
    assert not found.by_speaker
    assert found.values("gender", ["c", "a", "b", "x"]) == ["f, mostly", "f", "m", None]
    assert found.values("age", ["a", "b", "c"]) == ["31", None, None]
    np.testing.assert_equal(found.numbers("age", ["a", "b", "x"]), [31, np.nan, np.nan])


def test_a_manifest_is_a_table_of_utterances(table):
    found = table("ID,duration,wav,start,stop,spk_id,gender\na,2.5,a.wav,,,s,f\n")
    assert not found.by_speaker
    assert found.numbers("duration", ["a"]).tolist() == [2.5]


@pytest.mark.parametrize(
    "text",
    [
        "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\tdev\n",
        "VoxCeleb2 ID,VGGFace2 ID,Gender,Set\nid10001 ,n000012 ,m ,dev \n",
        "Name \tVoxCeleb2 ID \tVGGFace2 ID \tGender \tSet \nAaron \tid10001 \tn000012 \tm \tdev \n",
        "spk_id,Gender\nid10001,m\n",
        "\ufeffspk_id,Gender\r\nid10001,m\r\n",
    ],
)
def test_tables_of_speakers(table, text):
    found = table(text)
    assert found.by_speaker
    # The speaker is the first part of the id, or as the list of speakers says.
    assert found.values("Gender", ["id10001/x6uYqmx31kE/00001.wav"]) == ["m"]
    assert found.values("Gender", ["u1", "u2"], {"u1": "id10001", "u2": "other"}) == ["m", None]


def test_the_published_tables_can_be_read(shared_data):
    folder = shared_data / "voxceleb_lists"
    counts = {"vox1_meta.csv": 1251, "vox2_meta.csv": 6114, "vox2_meta.openslr49.csv": 6114}
    for name, count in counts.items():
        found = load_metadata(folder / name)
        speakers = list(found.rows)
        assert len(speakers) == count
        assert set(found.values("Gender", speakers)) == {"f", "m"}


def test_only_line_ends_end_a_row(table):
    found = table("ID,text\r\na,one\u2028two\r\nb,three\x0cfour\r\n")
    assert found.values("text", ["a", "b"]) == ["one\u2028two", "three\x0cfour"]
    assert [row for row, _ in found.rows.values()] == [2, 3]


def test_speakers_that_are_not_known_are_named(table):
    found = table("spk_id,gender\ns,f\n")
    with pytest.raises(DataError, match=r"not known who speaks.*its speakers, 's/', found 't/1'.*--speakers"):
        found.values("gender", ["s/1", "t/1"])
    with pytest.raises(DataError, match=r"the speaker of 'b' is not known.*found 1 without"):
        found.values("gender", ["a", "b"], {"a": "s"})


def test_a_column_or_all_utterances_missing(table):
    found = table("ID,gender\na,f\n")
    with pytest.raises(DataError, match=r"no column 'Gender' \(expected Gender, found ID, gender\)"):
        found.values("Gender", ["a"])
    with pytest.raises(DataError, match=r"none of the 2 utterances \(expected ids like 'x', found 'a'\)"):
        found.values("gender", ["x", "y"])


def test_numbers_that_are_none_are_named(table):
    found = table("ID,age\na,31\nb,old\nc,inf\nd,7\n")
    with pytest.raises(DataErrors) as caught:
        found.numbers("age", ["a", "b", "c"])
    assert [(error.row, error.found) for error in caught.value.errors] == [(3, "'old'"), (4, "'inf'")]


@pytest.mark.parametrize(
    ("text", "rows", "problem"),
    [
        ("ID,g\na,f\nb\nc,m,x\n", [3, 4], "wrong number of values"),
        ("ID,g\n,f\nb,m\n", [2], "no key"),
        ("ID,g\na,f\nb,m\na,f\n", [4], "a second row for 'a'"),
    ],
)
def test_wrong_rows_are_named(table, text, rows, problem):
    with pytest.raises(DataErrors, match=problem) as caught:
        table(text)
    assert [error.row for error in caught.value.errors] == rows


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("ID,gender\n", "is empty"),
        ("utterance,gender\na,f\n", "no key column .*found utterance, gender"),
        ("ID,gender,gender\na,f,f\n", "two columns have one name"),
        ('ID,gender\na,"f\n', "not a CSV file"),
    ],
)
def test_files_that_are_no_tables(table, text, problem):
    with pytest.raises(DataError, match=problem):
        table(text)


def test_files_that_are_not_there_or_no_text(tmp_path):
    with pytest.raises(DataError, match="no such metadata table"):
        load_metadata(tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_bytes(b"ID,name\na,\xff\n")
    with pytest.raises(DataError, match=r"not text.*0xff"):
        load_metadata(tmp_path / "bad.csv")
