"""What is read back from a run's log."""

import pytest

from cmd_speaker.training.log import LOG, epochs, last_epoch

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


def test_an_epoch_logged_twice_counts_once(runs):
    log = runs["a"][0] / LOG
    # As a kill between the line and the checkpoint of epoch 2 leaves it.
    log.write_text(log.read_text() + LINE.format(2, "2.00e-02") + LINE.format(3, "1.00e-02"))
    assert [(epoch["epoch"], epoch["train text.feature"]) for epoch in epochs(runs["a"][0])] == [
        (1, 9.0), (2, 0.02), (3, 0.01)
    ]  # fmt: skip
