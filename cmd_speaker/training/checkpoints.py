"""Checkpoints that survive a kill at any moment."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from speechbrain.utils.checkpoints import Checkpoint, Checkpointer

from cmd_speaker.training.processes import on_main

COMPLETE = "COMPLETE"


class SafeCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, which in addition never loads a checkpoint that was cut off.

    SpeechBrain writes a checkpoint's meta file first, so a kill while the rest is written leaves a folder
    that looks newest and cannot be loaded. Here a marker is written last, and folders without it are
    removed before recovery.

    Of several processes the main one finds and deletes checkpoints. SpeechBrain asks each of them, and where two
    machines see a common folder differently, for a moment, they would wait for each other.
    """

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> Checkpoint | None:
        checkpoint = super().save_checkpoint(*args, **kwargs)
        if checkpoint is not None:
            (checkpoint.path / COMPLETE).touch()
        return checkpoint

    def recover_if_possible(self, *args: Any, **kwargs: Any) -> Checkpoint | None:
        on_main(self._remove_incomplete)
        return super().recover_if_possible(*args, **kwargs)

    def find_checkpoint(self, *args: Any, **kwargs: Any) -> Checkpoint | None:
        return on_main(super().find_checkpoint, *args, **kwargs)

    def delete_checkpoints(self, **kwargs: Any) -> None:
        on_main(super().delete_checkpoints, **kwargs)

    def _remove_incomplete(self) -> None:
        for folder in Path(self.checkpoints_dir).glob("CKPT*"):
            if folder.is_dir() and not (folder / COMPLETE).exists():
                shutil.rmtree(folder)
