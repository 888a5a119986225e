"""What is read back from a run's log."""

import pytest

from cmd_speaker.training.log import LOG, last_epoch, last_epochs_table

LINE = "epoch: {}, lr: 1.50e-03 - train loss: 4.34, train text.feature: {} - valid eer: 6.04e-02\n"


@pytest.fixture
def runs(tmp_path):
    for name, feature in (("a_1", "2.00e-02"), ("a_2", "4.00e-02")):
        (tmp_path / name).mkdir()
        (tmp_path / name / LOG).write_text(LINE.format(1, "9.00") + LINE.format(2, feature))
    (tmp_path / "b_1").mkdir()
    (tmp_path / "b_1" / LOG).write_text("epoch: 1, lr: 1e-3 - train loss: nan - valid eer: 5.00e-01\n")
    return {"a": [tmp_path / "a_1", tmp_path / "a_2"], "b": [tmp_path / "b_1"]}


def test_figures_are_those_of_the_last_epoch(runs):
    assert last_epoch(runs["a"][1]) == {
        "epoch": 2, "lr": 0.0015, "train loss": 4.34, "train text.feature": 0.04, "valid eer": 0.0604
    }  # fmt: skip
    assert last_epoch(runs["b"][0])["train loss"] != 4.34


def test_table_has_the_mean_over_the_seeds_and_gaps_where_nothing_was_logged(runs):
    figures = {"valid eer": "validation EER", "train text.feature": "feature loss"}
    assert last_epochs_table(runs, figures).splitlines() == [
        "| configuration | validation EER | feature loss |",
        "|---|---|---|",
        "| a | 0.060 | 0.030 |",
        "| b | 0.500 |  |",
    ]
