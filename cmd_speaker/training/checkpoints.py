"""Checkpoints that survive a kill at any moment."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from speechbrain.utils.checkpoints import Checkpoint, Checkpointer
from speechbrain.utils.distributed import ddp_barrier, if_main_process

COMPLETE = "COMPLETE"


class SafeCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, which in addition never loads a checkpoint that was cut off.

    SpeechBrain writes a checkpoint's meta file first, so a kill while the rest is written leaves a folder
    that looks newest and cannot be loaded. Here a marker is written last, and folders without it are
    removed before recovery.
    """

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> Checkpoint | None:
        checkpoint = super().save_checkpoint(*args, **kwargs)
        if checkpoint is not None:
            (checkpoint.path / COMPLETE).touch()
        return checkpoint

    def recover_if_possible(self, *args: Any, **kwargs: Any) -> Checkpoint | None:
        if if_main_process():
            for folder in self._incomplete():
                shutil.rmtree(folder)
        ddp_barrier()
        return super().recover_if_possible(*args, **kwargs)

    def _incomplete(self) -> list[Path]:
        folders = Path(self.checkpoints_dir).glob("CKPT*")
        return [folder for folder in folders if folder.is_dir() and not (folder / COMPLETE).exists()]
