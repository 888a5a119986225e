"""The preparation of librispeech_mini, on a small corpus in its layout and on the real one where it is there."""

import csv
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import soundfile

from cmd_speaker.audio import read_audio
from cmd_speaker.errors import DataError, DataErrors, exit_code_of
from cmd_speaker.manifest import load_manifest
from data_prep.librispeech_mini import main, prepare

# Speaker -> gender and utterances. ls1 has two chapters, ls2 one; the others have one utterance each.
SPEAKERS = {
    "ls1": ("f", ["1-7-0", "1-7-1", "1-8-0"]),
    "ls2": ("m", ["2-7-0", "2-7-1"]),
    "ls3": ("f", ["3-1-0"]),
    "ls4": ("m", ["4-1-0"]),
}


@pytest.fixture
def corpus(tmp_path):
    """A folder in the layout of librispeech_mini."""
    root = tmp_path / "corpus"
    rng = np.random.default_rng(5)
    utterances = ["path,speaker,session,subset,seconds,source_utterance"]
    for speaker, (_, names) in SPEAKERS.items():
        for number, name in enumerate(names):
            chapter = name.split("-")[1]
            path = f"wav/{speaker}/{chapter}/{name}.wav"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            samples = 16001 + 800 * number
            soundfile.write(root / path, 0.1 * rng.standard_normal(samples), 16000)
            utterances.append(f"{path},{speaker},{chapter},clean,{samples / 16000:.3f},{name}")
    speakers = ["speaker,subset,gender,language,n_utterances,n_sessions,seconds"]
    speakers += [f"{speaker},clean,{gender},English,1,1,1" for speaker, (gender, _) in SPEAKERS.items()]
    (root / "utterances.csv").write_text("\n".join(utterances) + "\n")
    (root / "speakers.csv").write_text("\n".join(speakers) + "\n")
    return root


def read_trials(path):
    return [line.split() for line in path.read_text().splitlines()]


def assert_refused(root, output, *parts):
    with pytest.raises((DataError, DataErrors)) as caught:
        prepare(root, output)
    for part in parts:
        assert part in str(caught.value)
    assert not output.exists()


def test_single_utterances_become_two_halves(corpus, tmp_path):
    manifest = load_manifest(prepare(corpus, tmp_path).test, corpus, check_files=True)
    rows = {utterance.id: utterance for utterance in manifest}
    assert list(rows) == [
        "1-7-0",
        "1-7-1",
        "1-8-0",
        "2-7-0",
        "2-7-1",
        "3-1-0_a",
        "3-1-0_b",
        "4-1-0_a",
        "4-1-0_b",
    ]
    assert (rows["1-7-1"].start, rows["1-7-1"].stop) == (0, 16801)
    first, second = rows["3-1-0_a"], rows["3-1-0_b"]
    assert (first.start, first.stop, second.start, second.stop) == (0, 8000, 8000, 16001)
    whole = read_audio(first.wav)
    pieces = [read_audio(u.wav, start=u.start, stop=u.stop, seconds=u.duration) for u in (first, second)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert dict(rows["2-7-0"].fields) == {"session": "7", "gender": "m", "subset": "clean"}


def test_trials(corpus, tmp_path):
    prepared = prepare(corpus, tmp_path)
    speaker = {row.id: row.spk_id for row in load_manifest(prepared.test, corpus)}
    trials = read_trials(prepared.test_trials)
    assert all(label == str(int(speaker[a] == speaker[b])) for label, a, b in trials)
    targets = {frozenset(pair) for label, *pair in trials if label == "1"}
    assert targets == {frozenset(p) for p in combinations(speaker, 2) if speaker[p[0]] == speaker[p[1]]}
    assert len({frozenset(pair) for _, *pair in trials}) == len(trials)
    # ls1: 3 pairs, of which 1 in a chapter; ls2: 1; two pairs of halves. Women have 3 and 2 pieces, men 2 and 2:
    # 6 + 4 nontargets of one gender, 5 * 4 others; 60 were asked for.
    assert dict(prepared.counts) == {
        "segments": 9,
        "speakers": 4,
        "targets": 6,
        "targets_halves_of_one_utterance": 2,
        "targets_of_one_chapter": 2,
        "targets_of_two_chapters": 2,
        "nontargets": 30,
        "nontargets_same_gender": 10,
    }


def test_two_runs_are_identical(corpus, tmp_path):
    one, two = prepare(corpus, tmp_path / "one"), prepare(corpus, tmp_path / "two")
    assert one.test.read_bytes() == two.test.read_bytes()
    assert one.test_trials.read_bytes() == two.test_trials.read_bytes()


@pytest.mark.parametrize(
    ("name", "old", "new", "parts"),
    [
        (
            "utterances.csv",
            "wav/ls2/7/2-7-1.wav",
            "wav/2.wav",
            ("row 6: no such audio file", "found wav/2.wav"),
        ),
        (
            "utterances.csv",
            "clean,1.050,2-7-1",
            "clean,1.050,2-7-0",
            ("row 6: '2-7-0' does not fit", "in row 5"),
        ),
        (
            "utterances.csv",
            "clean,1.050,2-7-1",
            "clean,1.250,2-7-1",
            ("row 6", "expected 1.250 s, found 1.050 s"),
        ),
        (
            "utterances.csv",
            "clean,1.050,2-7-1",
            "clean,,2-7-1",
            ("row 6: a value is missing", "found no seconds"),
        ),
        ("utterances.csv", "clean,1.050,2-7-1", "clean,long,2-7-1", ("row 6", "expected long s")),
        (
            "utterances.csv",
            "session",
            "chapter",
            ("row 1", "expected path,speaker,session", "found path,speaker,c"),
        ),
        ("speakers.csv", "ls2,clean,m", "ls5,clean,m", ("row 5", "row 6", "gender f or m of 'ls2'")),
        ("speakers.csv", "ls2,clean,m", "ls2,clean,x", ("utterances.csv, row 5", "found 'x'")),
    ],
)
def test_wrong_rows(corpus, tmp_path, name, old, new, parts):
    text = (corpus / name).read_text()
    assert old in text
    (corpus / name).write_text(text.replace(old, new))
    assert_refused(corpus, tmp_path / "out", str(corpus), *parts)


def test_another_folder(tmp_path):
    assert_refused(
        tmp_path, tmp_path / "out", f"{tmp_path}: not the librispeech_mini corpus", "utterances.csv  path,"
    )


def test_command_line(corpus, tmp_path, capsys):
    assert exit_code_of(main, [str(corpus), str(tmp_path)]) == 0
    assert dict(line.split() for line in capsys.readouterr().out.splitlines())["targets"] == "6"
    assert exit_code_of(main, [str(tmp_path), str(tmp_path)]) == 3
    assert "not the librispeech_mini corpus" in capsys.readouterr().err


def test_real_corpus(shared_data, tmp_path):
    root = shared_data / "librispeech_mini"
    if not root.is_dir():
        pytest.skip(f"the corpus is not there: {root}")
    prepared = prepare(root, tmp_path)
    manifest = load_manifest(prepared.test, root, check_files=True)
    # 248 speakers with two halves, ten with 10 utterances, three with 16: targets 248 + 10 * 45 + 3 * 120.
    assert (len(manifest), len(manifest.speakers)) == (248 * 2 + 148, 261)
    labels = Counter(label for label, *_ in read_trials(prepared.test_trials))
    assert labels == {"1": 1058, "0": 10580}
    assert prepared.counts["targets_halves_of_one_utterance"] == 248
    assert prepared.counts["nontargets_same_gender"] == 5290
    with (root / "speakers.csv").open(newline="") as file:
        gender = {row["speaker"]: row["gender"] for row in csv.DictReader(file)}
    assert {row.spk_id: row.fields["gender"] for row in manifest} == gender
