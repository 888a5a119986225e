"""`cmd-speaker score` from files to files: options, refusals, exit codes, and what it leaves on the disk."""

import json
import subprocess
import sys

import numpy as np
import pytest

from cmd_speaker.embeddings import Embeddings, save_embeddings
from cmd_speaker.files import file_checksum
from cmd_speaker.lists.scores import load_scores
from cmd_speaker.scoring.backend import Backend
from cmd_speaker.scoring.record import load_record

SPEAKERS = {f"t{k}": f"s{k % 20}" for k in range(80)}
TRIALS = [(1, "u0", "u1"), (0, "u2", "u3"), (0, "u1", "u4"), (1, "u5", "u0")]


def made(folder, name, count, seed, prefix):
    vectors = np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32)
    embeddings = Embeddings([f"{prefix}{k}" for k in range(count)], vectors)
    save_embeddings(folder / name, embeddings)
    return embeddings


@pytest.fixture
def data(tmp_path):
    """Six test embeddings, 80 of training with a list of 20 speakers, and trials."""
    made(tmp_path, "test.npz", 6, 1, "u")
    made(tmp_path, "train.npz", 80, 2, "t")
    (tmp_path / "utt2spk").write_text("".join(f"t{k} s{k % 20}\n" for k in range(80)))
    (tmp_path / "trials.txt").write_text("".join(f"{label} {a} {b}\n" for label, a, b in TRIALS))
    return tmp_path


@pytest.fixture
def score(cli, data):
    """`score(*options)`: the trials scored into s.txt; words that name a file of `data` become its path."""

    def run(*options, trials="trials.txt"):
        words = [
            data / word if isinstance(word, str) and (data / word).exists() else word for word in options
        ]
        listed = [data / trials] if trials else []
        return cli("score", data / "test.npz", *listed, "--out", data / "s.txt", *words)

    return run


def expected(data, **settings):
    """The scores of `TRIALS` under a back-end with the training set for everything."""
    train, test = made(data, "train.npz", 80, 2, "t"), made(data, "test.npz", 6, 1, "u")
    given = {name: value if value is not True else train for name, value in settings.items()}
    rows = [(int(a[1]), int(b[1])) for _, a, b in TRIALS]
    scores = Backend.fit(**given).score(test.vectors, test.vectors)
    return [scores[row] for row in rows]


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ((), {}),
        (("--mean-from", "train.npz"), {"mean_from": True}),
        (("--cohort", "train.npz", "--top", 9), {"cohort": True, "norm": "as", "top": 9}),
        (
            ("--mean-from", "train.npz", "--cohort", "train.npz", "--cohort-speakers", "utt2spk", "--norm", "s"),
            {"mean_from": True, "cohort": True, "norm": "s", "cohort_speakers": SPEAKERS},
        ),
        (
            ("--plda-from", "train.npz", "--plda-speakers", "utt2spk", "--plda-rank", 3),
            {"plda_from": True, "plda_rank": 3, "plda_speakers": SPEAKERS},
        ),
    ],
)  # fmt: skip
def test_scores_and_record(score, data, options, settings):
    code, _, err = score(*options)
    assert code == 0, err
    assert "4 of 4 trials" in err
    scores = load_scores(data / "s.txt")
    np.testing.assert_allclose(scores.scores, expected(data, **settings), atol=1e-5)
    assert scores.labels.tolist() == [True, False, False, True]
    record = load_record(data / "s.txt")
    assert record["embeddings"] == {
        "name": "test.npz", "sha256": file_checksum(data / "test.npz"), "count": 6, "model": None,
    }  # fmt: skip
    assert record["trials"] == {"name": "trials.txt", "sha256": file_checksum(data / "trials.txt")}
    assert record["backend"]["norm"] == settings.get("norm", "none")
    assert record["backend"]["scorer"] == ("plda" if "plda_from" in settings else "cosine")
    assert record["calibration"] is None


def test_the_same_call_writes_the_same_bytes(score, data):
    options = ("--cohort", "train.npz", "--top", 9, "--memory", "16M", "--qualities", data / "q.csv")
    score(*options)
    first = [(data / name).read_bytes() for name in ("s.txt", "q.csv")]
    score(*options)
    assert [(data / name).read_bytes() for name in ("s.txt", "q.csv")] == first
    lines = first[1].decode().splitlines()
    assert lines[0] == "ID,norm,cohort_mean"
    assert [line.split(",")[0] for line in lines[1:]] == [f"u{k}" for k in range(6)]


def test_models_are_enrolled_with_several_utterances(score, data):
    (data / "map").write_text("m u0 u1\nn u2\n")
    (data / "models.txt").write_text("m u3 target\nn u4 nontarget\n")
    found = {}
    for way in ("average", "score", "best"):
        assert score("--enrol-map", "map", "--enrol", way, trials="models.txt")[0] == 0
        found[way] = load_scores(data / "s.txt").scores
        assert load_record(data / "s.txt")["backend"]["enrolment"] == way
    assert len({scores[0] for scores in found.values()}) == 3
    assert len({scores[1] for scores in found.values()}) == 1  # one utterance: the ways are one


def test_all_pairs_with_labels(score, data):
    (data / "speakers").write_text("".join(f"u{k} x{k // 2}\n" for k in range(6)))
    code, _, err = score("--all-pairs", "--speakers", "speakers", trials=None)
    assert code == 0, err
    scores = load_scores(data / "s.txt")
    assert len(scores) == 15
    targets = [scores.trials.pair(k) for k in np.flatnonzero(scores.labels)]
    assert targets == [
        ("u0", "u1"),
        ("u2", "u3"),
        ("u4", "u5"),
    ]
    assert load_record(data / "s.txt")["trials"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--norm", "as"), "needs a cohort"),
        (("--cohort", "train.npz", "--norm", "none"), "leaves nothing to do for --cohort"),
        (("--cohort", "train.npz", "--norm", "x"), "--norm is one of none, z, t, s, as"),
        (("--cohort", "train.npz"), "--top goes from 1 to the 80 entries of the cohort, found 300"),
        (("--cohort", "train.npz", "--norm", "s", "--top", 9), "--top belongs to --norm as"),
        (("--top", 9), "--top needs --cohort"),
        (("--cohort-speakers", "utt2spk"), "--cohort-speakers needs --cohort"),
        (("--plda-from", "train.npz"), "--plda-from needs --plda-speakers"),
        (("--plda-rank", 3), "--plda-rank needs --plda-from"),
        (("--enrol", "best"), "--enrol needs --enrol-map"),
        (("--speakers", "utt2spk"), "give one of them"),
        (("--all-pairs",), "either TRIALS or --all-pairs"),
        (("--memory", "1k"), "--memory takes a size of at least 16M"),
    ],
)
def test_options_that_make_no_sense(score, data, options, words):
    code, _, err = score(*options)
    assert code == 2
    assert words in err
    assert not (data / "s.txt").exists()


def test_neither_list_nor_all_pairs(score):
    code, _, err = score(trials=None)
    assert code == 2
    assert "either TRIALS or --all-pairs" in err


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (
            ("--mean-from", "test.npz"),
            "the data of the mean would be taken from the embeddings that are scored",
        ),
        (
            ("--cohort", "test.npz", "--norm", "s"),
            "the cohort would be taken from the embeddings that are scored",
        ),
        (("--cohort", "shared.npz", "--norm", "s"), "'u0', which occurs in the trials, is in the cohort too"),
        (("--mean-from", "renamed.npz"), "has the same embedding as one of the data of the mean"),
        (
            (
                "--cohort",
                "train.npz",
                "--norm",
                "s",
                "--cohort-speakers",
                "utt2spk",
                "--speakers",
                "speakers",
            ),
            "'u4', which occurs in the trials, is of a speaker of the cohort ('s7')",
        ),
    ],
)
def test_leaks_are_refused_and_write_nothing(score, data, option, words):
    made(data, "shared.npz", 6, 5, "u")
    made(data, "renamed.npz", 6, 1, "t")
    (data / "speakers").write_text("u4 s7\n")
    (data / "s.txt").write_text("of another run\n")
    code, _, err = score(*option)
    assert code == 3
    assert words in err
    assert (data / "s.txt").read_text() == "of another run\n"
    assert not (data / "s.txt.json").exists()


def test_a_cohort_of_another_model_is_refused(score, data):
    for name, model in (("test.npz", "one"), ("cohort.npz", "other")):
        embeddings = made(data, name, 6, 1 + len(model), model)
        embeddings.model = model
        save_embeddings(data / name, embeddings)
    code, _, err = score("--cohort", "cohort.npz", "--norm", "s")
    assert code == 3
    assert "embeddings of another model (expected one" in err


def test_unknown_utterances_are_listed_and_the_rest_is_scored(score, data):
    with (data / "trials.txt").open("a") as file:
        file.writelines(f"0 u0 x{k}\n" for k in range(1500))
    code, _, err = score("--cohort", "train.npz", "--top", 9)
    assert code == 3
    assert "4 of 1504 trials" in err
    assert "1500 trials left out" in err
    assert f"{data / 'trials.txt'}, row 5: no embedding of 'x0'" in err
    assert "and 1480 more" in err
    np.testing.assert_allclose(
        load_scores(data / "s.txt").scores, expected(data, cohort=True, norm="as", top=9), atol=1e-5
    )
    assert json.loads((data / "s.txt.json").read_text())["scores"]["sha256"] == file_checksum(data / "s.txt")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "test.npz"], "test.npz would be overwritten, which is read"),
        (["--out", "sub/../trials.txt"], "trials.txt would be overwritten, which is read"),
        (["--out", "s.txt", "--qualities", "test.npz"], "test.npz would be overwritten, which is read"),
        (["--out", "s.txt", "--qualities", "s.txt"], "s.txt would be overwritten, which is written"),
        (
            ["--out", "s.txt", "--qualities", "s.txt.json"],
            "s.txt.json would be overwritten, which is written",
        ),
        (["--out", "train.npz", "--mean-from", "train.npz"], "train.npz would be overwritten, which is read"),
    ],
)
def test_no_file_that_is_read_is_overwritten(cli, data, monkeypatch, options, words):
    monkeypatch.chdir(data)
    before = {path.name: file_checksum(path) for path in data.iterdir()}
    code, _, err = cli("score", "test.npz", "trials.txt", *options)
    assert code == 2
    assert words in err
    assert {path.name: file_checksum(path) for path in data.iterdir()} == before


def test_torch_is_never_imported(data):
    code = (
        "import sys; from cmd_speaker.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "sys.exit(bool({'torch', 'scipy', 'speechbrain'} & sys.modules.keys()))"
    )
    arguments = ["score", "test.npz", "trials.txt", "--out", "s.txt", "--cohort", "train.npz", "--top", "9"]
    assert subprocess.run([sys.executable, "-c", code, *arguments], cwd=data).returncode == 0
