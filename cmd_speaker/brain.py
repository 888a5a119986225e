"""The Brain: forward, objective, validation by EER, logs and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import speechbrain as sb
import torch
from speechbrain.augment.augmenter import Augmenter
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.seed import seed_everything
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter

from cmd_speaker.encoder import SpeakerEncoder, features_of
from cmd_speaker.errors import DataError
from cmd_speaker.losses import StudentBatch
from cmd_speaker.losses.aam import AamSoftmax
from cmd_speaker.quality.sources import NORM
from cmd_speaker.teachers.head import TeacherTargets
from cmd_speaker.training.data import Batch
from cmd_speaker.training.processes import rank
from cmd_speaker.training.qualities import as_heard, sources
from cmd_speaker.training.schedule import Piecewise
from cmd_speaker.training.state import EpochAverages, RandomStates
from cmd_speaker.training.validation import Validation
from cmd_speaker.training.waiting import DataWait


class Heard(NamedTuple):
    """What the student makes of a batch as augmentation left it: n samples."""

    embeddings: Tensor
    """[n, D], not normalised."""
    origin: Tensor
    """The place in the batch that each sample comes from, int64 [n]."""
    quality: dict[str, Tensor]
    """Measures of the waveforms that quality weights ask for, by name, each [n]."""


class SpeakerBrain(sb.Brain):
    """Trains a speech student on its identity loss and, where there are teachers, under them.

    `modules` holds `front_end`, `student`, `identity` and, under teachers, `distillation`, a ModuleDict with
    a `Distillation` for each, and a `JointTeacher` for each that goes on learning; `hparams` the recipe's values
    (`recipes/*/hparams`). `targets` is stage 1's result for each teacher, in the order of the batches' `rows`;
    empty for audio only.
    """

    def __init__(
        self, *args: Any, targets: Mapping[str, TeacherTargets], validation: Validation | None, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self.targets = {name: each.to(self.device) for name, each in targets.items()}
        self.validation = validation
        self.averages, self.random_states, self.wait = EpochAverages(), RandomStates(), DataWait()
        self.total_steps = 0
        self.sources = sources(self.modules.distillation[name] for name in self.targets)
        margin = getattr(self.hparams, "identity_margin", None)
        self.identity_margin = None if margin is None else Piecewise.of(margin)
        self.tensorboard: SummaryWriter | None = None
        self.hint_given = False
        if self.checkpointer is not None:
            self.checkpointer.add_recoverable("averages", self.averages)
            self.checkpointer.add_recoverable("random_states", self.random_states)

    @property
    def encoder(self) -> SpeakerEncoder:
        """The student as it is used at test time."""
        return SpeakerEncoder(self.modules.front_end, unwrapped(self.modules.student))

    @property
    def classifier(self) -> AamSoftmax:
        """The classifier of the identity loss."""
        return unwrapped(self.modules.identity)

    @property
    def progress(self) -> float:
        """The share of the training that is done, in [0, 1)."""
        return self.optimizer_step / self.total_steps

    def compute_forward(self, batch: Batch, stage: sb.Stage) -> Heard:
        """What the student makes of a batch, whose samples augmentation may repeat."""
        waveforms = batch.waveforms.to(self.device, non_blocking=True)
        index = torch.arange(len(waveforms), device=self.device)
        # In half precision, which is the student's alone, a resampler would leave 8 bits of a sample.
        with torch.no_grad(), torch.autocast(self.device_type, enabled=False):
            waveforms, index = augment(getattr(self.hparams, "wav_augment", None), waveforms, index)
            features = features_of(self.modules.front_end, waveforms)
            copies = torch.arange(len(features), device=self.device)
            features, copies = augment(getattr(self.hparams, "feature_augment", None), features, copies)
            quality = {name: values[copies] for name, values in as_heard(waveforms, self.sources).items()}
        return Heard(self.modules.student(features), index[copies], quality)

    def compute_objectives(self, predictions: Heard, batch: Batch, stage: sb.Stage) -> Tensor:
        """Identity loss plus every teacher's distillation terms.

        What is logged goes to `self.averages`, a teacher's figures as `TEACHER.FIGURE`.
        """
        embeddings, origin, heard = predictions
        labels, rows, columns = (
            values.to(self.device)[origin] for values in (batch.labels, batch.rows, batch.qualities)
        )
        # Cosines times 30 need full precision, also where the student runs in half.
        with torch.autocast(self.device_type, enabled=False):
            embeddings = embeddings.float()
            loss = self.modules.identity(embeddings, labels).mean()
            log = {"identity": loss.detach()}
            student = StudentBatch(
                embeddings, labels, self.classifier.weight, self.classifier.scale,
                quality={
                    NORM: embeddings.detach().norm(dim=1), **heard,
                    **dict(zip(self.loader.dataset.quality_names, columns.T, strict=True)),
                },
            )  # fmt: skip
            for (name, targets), column in zip(self.targets.items(), rows.T, strict=True):
                joint = getattr(self.modules, joint_name(name), None)
                if joint is not None:
                    own = joint(column)
                    loss, log[f"{name}.identity"] = loss + own, own.detach()
                    targets = unwrapped(joint).update(targets)
                term_sum = self.modules.distillation[name]
                distillation, figures = term_sum(student, targets.batch(column), self.progress)
                loss = loss + distillation
                log |= {f"{name}.{figure}": value for figure, value in figures.items()}
            if self.identity_margin is not None and not self.identity_margin.constant:
                log["identity_margin"] = torch.tensor(self.classifier.margin)
        self.averages.add({"loss": loss.detach(), **log})
        return loss

    def on_fit_start(self) -> None:
        """Recover the newest checkpoint, random states included, or start from the recipe's seed."""
        # Each process augments otherwise; the weights were drawn before, alike in all of them.
        seed_everything(self.hparams.seed + rank())
        super().on_fit_start()
        if if_main_process():
            folder = Path(self.hparams.output_folder) / "tensorboard"
            # What a broken run wrote of the epoch that is done again is hidden.
            self.tensorboard = SummaryWriter(str(folder), purge_step=self.hparams.epoch_counter.current + 1)

    def _wrap_distributed(self) -> None:
        """As SpeechBrain does on GPUs; on a CPU, for which torch has none, without synchronised BatchNorm."""
        if self.device_type != "cpu" or not self.distributed_launch:
            super()._wrap_distributed()
            return
        for name, module in self.modules.items():
            if any(parameter.requires_grad for parameter in module.parameters()):
                self.modules[name] = DistributedDataParallel(module)

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        if stage == sb.Stage.TRAIN:
            self.loader.dataset.set_epoch(epoch)
            self.loader.sampler.set_epoch(epoch)
            self.wait.start()

    def fit_batch(self, batch: Batch | DataError) -> Tensor:
        """One step, timed; its loss comes to the CPU, so that a GPU has done the step when it ends.

        Raises the error that a worker of the loader met in place of a batch.
        """
        if isinstance(batch, DataError):
            raise batch
        self.wait.step()
        loss = super().fit_batch(batch)
        self.wait.stepped()
        return loss

    def check_loss_isfinite(self, loss: Tensor) -> None:
        """SpeechBrain's patience with losses that are not finite; at its end raises `DataError`."""
        try:
            super().check_loss_isfinite(loss)
        except ValueError as error:
            raise diverged(self.hparams.epoch_counter.current) from error

    def on_fit_batch_start(self, batch: Batch, should_step: bool) -> None:
        rate = self.hparams.lr_schedule(self.optimizer_step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.identity_margin is not None:
            self.classifier.margin = self.identity_margin(self.progress)

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time: float, steps_since_ckpt: int) -> bool:
        # A checkpoint holds no gradients: between two steps of the optimiser they would be lost.
        due = super()._should_save_intra_epoch_ckpt(last_ckpt_time, steps_since_ckpt)
        return due and self.step % self.grad_accumulation_factor == 0

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """Validate, log and save at the end of a training epoch."""
        if stage != sb.Stage.TRAIN or epoch is None:
            return
        if not all(parameter.isfinite().all() for parameter in self.modules.parameters()):
            raise diverged(epoch)
        train = self.averages.take()
        valid: dict[str, float] = {}
        due = epoch % self.hparams.validation_interval == 0 or epoch == self.hparams.number_of_epochs
        if self.validation is not None and due:
            valid = self.validation(self.encoder, self.device)
        self._log(epoch, train, valid)
        # The caller resets these after this hook; a checkpoint must not hold the finished epoch's.
        self.step, self.avg_train_loss = 0, 0.0
        self.checkpointer.save_and_keep_only(meta={"epoch": epoch, **valid}, num_to_keep=1)

    def _log(self, epoch: int, train: dict[str, float], valid: dict[str, float]) -> None:
        rate = self.optimizer.param_groups[0]["lr"]
        # Called in every process: it is SpeechBrain's to write in the main one only.
        self.hparams.train_logger.log_stats({"epoch": epoch, "lr": rate}, train, valid)
        if not if_main_process():
            return
        figures = [f"{name} {value:.4g}" for name, value in (train | valid).items()]
        print(f"epoch {epoch}/{self.hparams.number_of_epochs}: {', '.join(figures)}{self.wait}", flush=True)
        hint = self.wait.hint(self.loader.num_workers, self.loader.dataset.audio.faster)
        if hint and not self.hint_given:
            print(hint, flush=True)
            self.hint_given = True
        assert self.tensorboard is not None
        self.tensorboard.add_scalar("data_wait/train", self.wait.share, epoch)
        for stage, values in (("train", train), ("valid", valid)):
            for name, value in values.items():
                self.tensorboard.add_scalar(f"{name}/{stage}", value, epoch)
        self.tensorboard.flush()


def diverged(epoch: int) -> DataError:
    """What to say where losses or weights are finite no more."""
    return DataError(
        f"training diverged in epoch {epoch}", expected="finite losses and weights", found="NaN or infinity",
        fix="Choose a lower learning rate (--peak_lr) or fewer distillation terms",
    )  # fmt: skip


def unwrapped(module: Any) -> Any:
    """A module without what wraps it for several processes, and without what `--compile` made of it."""
    for name in ("module", "_orig_mod"):
        module = getattr(module, name, module)
    return module


def joint_name(teacher: str) -> str:
    """Under which name a teacher that goes on learning is a module."""
    return f"joint_{teacher}"


def augment(augmenter: Augmenter | None, x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Apply one of SpeechBrain's augmenters to x [batch, time, ...].

    Copies that it adds are followed by `index` [batch]; where a copy became shorter (speed), all are cut
    to the shortest, so that nothing is padded.
    """
    if augmenter is None:
        return x, index
    out, lengths = augmenter(x, torch.ones(len(x), device=x.device))
    if augmenter.do_augment:
        index = augmenter.replicate_labels(index)
    return out[:, : int(torch.round(lengths.min() * out.shape[1]))], index
