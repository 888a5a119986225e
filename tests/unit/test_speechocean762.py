"""The preparation of speechocean762, on a small corpus in its layout and on the real one where it is there."""

import csv
from collections import Counter, defaultdict
from itertools import combinations

import pytest

from cmd_speaker.audio import read_audio
from cmd_speaker.errors import DataError, DataErrors, UsageError, exit_code_of
from cmd_speaker.manifest import load_manifest
from data_prep import speechocean762
from data_prep.speechocean762 import VALIDATION_SPEAKERS, describe, main, prepare


@pytest.fixture(scope="module")
def real(shared_data, tmp_path_factory):
    """The corpus and what `prepare` made of it."""
    root = shared_data / "speechocean762"
    if not root.is_dir():
        pytest.skip(f"the corpus is not there: {root}")
    return root, prepare(root, tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def prepared(tiny_speechocean, tmp_path_factory):
    """What `prepare` made of the small corpus, with two validation speakers."""
    return prepare(tiny_speechocean(), tmp_path_factory.mktemp("prepared"), validation_speakers=2)


def assert_refused(root, output, *parts, **arguments):
    """The error's message must hold `parts`; nothing may have been written."""
    with pytest.raises((DataError, DataErrors)) as caught:
        prepare(root, output, **{"validation_speakers": 2, **arguments})
    for part in parts:
        assert part in str(caught.value)
    assert not output.exists()


def read_rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def speaker_ids(path):
    return {row["spk_id"] for row in read_rows(path)}


def read_trials(path):
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("suffix", [".WAV", ".flac", ".opus"])
def test_prepares_every_form_of_audio(tiny_speechocean, tmp_path, suffix):
    root = tiny_speechocean(suffix)
    prepared = prepare(root, tmp_path, validation_speakers=2)
    for part, size in {"train": (4, 16), "valid": (2, 8), "test": (4, 16)}.items():
        manifest = load_manifest(tmp_path / f"{part}.csv", root, check_files=True)
        counts = (prepared.counts[f"{part}_speakers"], prepared.counts[f"{part}_utterances"])
        assert (len(manifest.speakers), len(manifest)) == counts == size
        for utterance in manifest:
            assert utterance.wav.suffix == suffix
            samples = read_audio(utterance.wav, stop=utterance.stop, seconds=utterance.duration)
            assert len(samples) == utterance.stop == round(utterance.duration * 16000)
    assert load_manifest(prepared.valid, root).speakers == sorted(VALIDATION_SPEAKERS[:2])


def test_rows_hold_what_the_tables_say(prepared):
    row = next(row for row in read_rows(prepared.train) if row["ID"] == "900100002")
    assert row["wav"] == "$data_root/WAVE/SPEAKER9001/900100002.WAV"
    assert (row["start"], row["spk_id"], row["session"]) == ("0", "9001", "")
    assert (row["gender"], row["age"], row["transcript"]) == ("m", "33", "KATE LOVES CHINA")
    assert row["text"] == "A man in his thirties, an adult, 33 years old."


def test_test_speakers_are_never_described(prepared):
    assert "text" not in read_rows(prepared.test)[0]
    assert "years old" not in prepared.test.read_text()
    train, valid, test = map(speaker_ids, (prepared.train, prepared.valid, prepared.test))
    assert speaker_ids(prepared.speakers) == (train | valid) - test


def test_audio_with_another_suffix_than_wav_scp_says(speechocean_copy, tmp_path):
    for path in speechocean_copy.rglob("*.WAV"):
        path.rename(path.with_suffix(".flac"))
    prepared = prepare(speechocean_copy, tmp_path / "out", validation_speakers=2)
    assert all(row["wav"].endswith(".flac") for row in read_rows(prepared.train))


def test_without_validation(tiny_speechocean, tmp_path):
    prepare(tiny_speechocean(), tmp_path, validation_speakers=2)
    prepared = prepare(tiny_speechocean(), tmp_path, validation_speakers=0)
    assert (prepared.valid, prepared.valid_trials) == (None, None)
    assert not (tmp_path / "valid.csv").exists(), "that of the first run holds training speakers now"
    assert not (tmp_path / "valid_trials.txt").exists()
    assert len(load_manifest(prepared.train, "/corpus").speakers) == 6
    assert len(read_rows(prepared.speakers)) == 6


def test_number_of_validation_speakers(tiny_speechocean, tmp_path):
    for number in (-1, 1, 21):
        with pytest.raises(UsageError, match=f"{number}: expected 0, or 2 to 20"):
            prepare(tiny_speechocean(), tmp_path, validation_speakers=number)
    assert_refused(
        tiny_speechocean(), tmp_path / "out", "no 0053", "validation_speakers 0", validation_speakers=5
    )


def test_validation_trials_are_all_pairs(prepared):
    trials = read_trials(prepared.valid_trials)
    ids = {row["ID"]: row["spk_id"] for row in read_rows(prepared.valid)}
    assert {frozenset(pair) for _, *pair in trials} == {frozenset(pair) for pair in combinations(ids, 2)}
    assert len(trials) == 8 * 7 / 2
    assert all(label == str(int(ids[a] == ids[b])) for label, a, b in trials)


def test_given_test_trials_are_copied(speechocean_copy, tmp_path):
    given = "1 910100000 910100001\n0 910100000 910200000\n"
    (speechocean_copy / "test" / "trials.txt").write_text(given)
    prepared = prepare(speechocean_copy, tmp_path / "out", validation_speakers=2)
    assert prepared.test_trials.read_text() == given
    assert (prepared.counts["test_trials"], prepared.counts["test_trials_targets"]) == (2, 1)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 910100000 nobody", "two utterances of wav.scp"),
        ("0 910100000 900100000", "two utterances of wav.scp"),
        ("1 910100000 910100000", "two utterances of wav.scp"),
        ("910100000 910200000", "two utterances of wav.scp"),
        ("1 910100000 910200000", "1 for one speaker, 0 for two"),
        ("0 910100000 910100001", "1 for one speaker, 0 for two"),
    ],
)
def test_given_test_trials_are_checked(speechocean_copy, tmp_path, line, expected):
    path = speechocean_copy / "test" / "trials.txt"
    path.write_text(f"1 910100000 910100001\n{line}\n")
    assert_refused(
        speechocean_copy, tmp_path / "out", f"{path}, row 2: bad trial", expected, f"'{line}'", "1 of 2"
    )


def test_drawn_test_trials(tiny_speechocean, tmp_path, monkeypatch):
    # 4 speakers of 4 utterances: 4 * 6 targets; 9101 and 9104 are women, 9102 is a man, 9103 a girl. So 16
    # nontargets are hard, 2 * 16 differ in gender, 2 * 16 in age band, and 16 in both.
    monkeypatch.setattr(speechocean762, "TARGETS", 20)
    monkeypatch.setattr(speechocean762, "NONTARGETS", 24)
    prepared = prepare(tiny_speechocean(), tmp_path, validation_speakers=2)
    trials = read_trials(prepared.test_trials)
    assert len({frozenset(pair) for _, *pair in trials}) == len(trials), "every pair once"
    kinds = Counter((label, *sorted((a[:4], b[:4]))) for label, a, b in trials)
    assert sum(count for (label, a, b), count in kinds.items() if a == b and label == "1") == 20
    assert kinds["0", "9101", "9104"] == 15, "24 * 0.62"
    assert kinds["0", "9102", "9103"] == 3, "24 * 0.38 / 3"
    assert kinds["0", "9101", "9102"] + kinds["0", "9102", "9104"] == 3
    assert kinds["0", "9101", "9103"] + kinds["0", "9103", "9104"] == 3
    assert sum(kinds.values()) == 20 + 24


def test_drawn_test_trials_take_all_there_are(prepared):
    pairs = {frozenset(pair) for _, *pair in read_trials(prepared.test_trials)}
    ids = [row["ID"] for row in read_rows(prepared.test)]
    assert pairs == {frozenset(pair) for pair in combinations(ids, 2)}


def test_two_runs_are_identical(prepared, tiny_speechocean, tmp_path):
    prepare(tiny_speechocean(), tmp_path, validation_speakers=2)
    names = {"train.csv", "valid.csv", "test.csv", "valid_trials.txt", "test_trials.txt", "speakers.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names | {"preparation.json"}
    for name in names:
        assert (tmp_path / name).read_bytes() == (prepared.train.parent / name).read_bytes()


def test_another_folder(tmp_path):
    (tmp_path / "holiday").mkdir()
    found = ("WAVE/", "wav.scp utt2spk text", f"found holiday/ in {tmp_path}")
    assert_refused(tmp_path, tmp_path / "out", f"{tmp_path}: not the speechocean762 corpus", *found)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("spk2gender", "9001\tm", "9001\tmale", "row 5: bad value of '9001' (expected f or m, found 'male')"),
        ("spk2age", "9001\t33", "9001\t-3", "row 5: bad value of '9001' (expected 1 to 99, found '-3')"),
        ("spk2age", "9001\t33", "9001\t120", "row 5: bad value of '9001' (expected 1 to 99, found '120')"),
        ("wav.scp", "900100001.WAV", "900100009.WAV", "row 18: no such audio file"),
    ],
)
def test_wrong_rows(speechocean_copy, tmp_path, name, old, new, expected):
    path = speechocean_copy / "train" / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert_refused(speechocean_copy, tmp_path / "out", f"{path}, {expected}")


def test_description():
    assert describe("f", 9) == "A girl, a child, 9 years old."
    assert describe("m", 15) == "A boy in his teens, a teenager, 15 years old."
    assert describe("m", 19) == "A man in his teens, a young adult, 19 years old."
    assert describe("f", 21) == "A woman in her twenties, a young adult, 21 years old."
    assert describe("m", 35) == "A man in his thirties, an adult, 35 years old."
    assert describe("f", 99) == "A woman in her nineties, an older adult, 99 years old."
    texts = [describe(gender, age) for gender in "fm" for age in range(1, 100)]
    assert len(set(texts)) == len(texts)


def test_command_line(tiny_speechocean, tmp_path, capsys):
    arguments = [str(tiny_speechocean()), str(tmp_path / "out"), "--validation_speakers", "2"]
    assert exit_code_of(main, arguments) == 0
    assert dict(line.split() for line in capsys.readouterr().out.splitlines())["train_utterances"] == "16"
    assert exit_code_of(main, [str(tmp_path), str(tmp_path / "out")]) == 3
    assert "not the speechocean762 corpus" in capsys.readouterr().err
    assert exit_code_of(main, [*arguments[:3], "1"]) == 2


def test_real_counts(real):
    root, prepared = real
    parts = (prepared.train, prepared.valid, prepared.test)
    assert [len(load_manifest(part, root)) for part in parts] == [2100, 400, 1920]
    train, valid, test = map(speaker_ids, parts)
    assert (len(train), len(valid), len(test), len(train | valid | test)) == (105, 20, 96, 105 + 20 + 96)
    assert speaker_ids(prepared.speakers) == train | valid
    assert (prepared.counts["valid_trials"], prepared.counts["valid_trials_targets"]) == (79800, 20 * 190)
    assert (prepared.counts["test_trials"], prepared.counts["test_trials_targets"]) == (45000, 15000)
    assert prepared.test_trials.read_bytes() == (root / "test" / "trials.txt").read_bytes()


def test_real_validation_speakers_follow_the_rule(real):
    _, prepared = real
    groups = defaultdict(list)
    for row in read_rows(prepared.speakers):
        groups[row["gender"], int(row["age"]) < 16].append((int(row["age"]), row["spk_id"]))
    chosen = []
    for k in (2, 0, 4, 1, 3):
        for name in (("f", True), ("m", False), ("m", True), ("f", False)):
            group = sorted(groups[name])
            chosen.append(group[len(group) * (2 * k + 1) // 10][1])
    assert tuple(chosen) == VALIDATION_SPEAKERS


def test_real_list_that_is_drawn_is_as_hard_as_the_given_one(real):
    root, prepared = real
    _, test = speechocean762._read_corpus(root)
    group = {recording.id: (recording.gender, recording.age < 16) for recording in test}
    shares = []
    for lines in (prepared.test_trials.read_text().splitlines(), speechocean762._draw_trials(test)):
        trials = [line.split() for line in lines]
        nontargets = [(a, b) for label, a, b in trials if label == "0"]
        assert (len(trials), len(nontargets)) == (45000, 30000)
        assert len({frozenset(trial[1:]) for trial in trials}) == 45000
        shares.append(sum(group[a] == group[b] for a, b in nontargets) / 30000)
    assert shares == pytest.approx([0.62, 0.62], abs=0.005)
