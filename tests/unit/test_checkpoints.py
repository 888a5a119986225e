"""Checkpoints of several processes."""

import pytest
from speechbrain.utils import distributed
from speechbrain.utils.checkpoints import Checkpoint

from cmd_speaker.training.checkpoints import SafeCheckpointer
from cmd_speaker.training.state import EpochAverages


@pytest.fixture
def second_of_two(monkeypatch):
    """What another process than the main one gets of it."""
    told = []
    monkeypatch.setattr(distributed, "if_main_process", lambda: False)
    monkeypatch.setattr(distributed, "ddp_broadcast", lambda _: told.pop())
    return told


def test_only_the_main_process_looks_at_the_folder(tmp_path, monkeypatch, second_of_two):
    """Processes that see other folders would find, and delete, other numbers of checkpoints."""
    checkpointer = SafeCheckpointer(tmp_path, {"averages": EpochAverages()})
    (tmp_path / "CKPT+cut-off").mkdir()
    monkeypatch.setattr(checkpointer, "_list_checkpoint_dirs", lambda: pytest.fail("looked at the folder"))
    chosen = Checkpoint(tmp_path / "CKPT+chosen", {}, {})
    loaded = []
    monkeypatch.setattr(checkpointer, "load_checkpoint", loaded.append)
    second_of_two += [chosen, None]
    assert checkpointer.recover_if_possible() == chosen
    assert loaded == [chosen]
    assert (tmp_path / "CKPT+cut-off").is_dir()
    second_of_two.append(None)
    checkpointer.delete_checkpoints(num_to_keep=1)
    assert second_of_two == []
