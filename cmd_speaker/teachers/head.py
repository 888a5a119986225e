"""Stage 1: head and teacher classifier are fitted on the bank, then frozen.

x -> less its mean, [linear map to the student's size] -> y + P(y) -> t -> teacher classifier. Classes are the
identities; those with one and the same set of inputs, which no teacher can tell apart, are one class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically
from cmd_speaker.losses import TeacherBatch
from cmd_speaker.losses.aam import AamSoftmax
from cmd_speaker.teachers.auto_margin import auto_margin
from cmd_speaker.teachers.bank import Bank

QUALITY = "quality."


HeadKind = Literal["residual", "centred", "none"]
"""What becomes of the teacher's embedding x, see `TeacherHead`."""
HEAD_KINDS = get_args(HeadKind)


class TeacherHead(nn.Module):
    """x [rows, D_T] -> t [rows, D_S].

    `residual`: `y + P(y)`, P a wide-narrow-wide bottleneck of three layers (Jin et al. 2023, framework figure). y
    is x less the bank's mean, as what all inputs have in common says nothing, in the student's size: where that
    is another, by a linear map that is fitted like P [ours].

    `centred`: y alone, its map a fixed orthonormal one. `none`: that map of x itself. So t has the geometry of the
    embeddings, exactly where the student is at least as large, else on average [ours]. A fitted head is free to
    push all identities apart, and what the teacher knew of their likeness is lost.
    """

    mean: Tensor

    def __init__(
        self, teacher_size: int, student_size: int, kind: HeadKind = "residual", narrow: int = 48
    ) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("mean", torch.zeros(teacher_size))
        self.resize: nn.Module = nn.Identity()
        if teacher_size != student_size:
            self.resize = nn.Linear(teacher_size, student_size, bias=kind == "residual")
        self.bottleneck: nn.Module | None = None
        if kind == "residual":
            self.bottleneck = nn.Sequential(
                nn.Linear(student_size, student_size),
                nn.ReLU(),
                nn.Linear(student_size, narrow),
                nn.ReLU(),
                nn.Linear(narrow, student_size),
            )
        elif isinstance(self.resize, nn.Linear):
            nn.init.orthogonal_(self.resize.weight)

    def centre(self, x: Tensor) -> None:
        """Note the mean of the bank x [rows, D_T], where that is taken away."""
        if self.kind != "none":
            self.mean.copy_(x.mean(0))

    def forward(self, x: Tensor) -> Tensor:
        y = self.resize(x - self.mean)
        return y if self.bottleneck is None else y + self.bottleneck(y)

    @property
    def fitted(self) -> list[nn.Parameter]:
        """What stage 1 fits beside the classifier."""
        return [] if self.bottleneck is None else list(self.parameters())

    def save(self, path: str | Path) -> None:
        with write_atomically(path) as temporary:
            save_file(self.state_dict(), temporary)

    @classmethod
    def load(
        cls, path: str | Path, teacher_size: int, student_size: int, kind: HeadKind = "residual"
    ) -> TeacherHead:
        """Read what `save` wrote; raises `DataError` where the file is damaged. The random state stays."""
        with torch.random.fork_rng(devices=[]):
            head = cls(teacher_size, student_size, kind)
        try:
            head.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise _damaged(path, error) from error
        return head.eval().requires_grad_(False)


@dataclass(frozen=True)
class TeacherTargets:
    """All that stage 2 needs of the teacher: one row per row of the bank, nothing to compute per step.

    `embedding` [rows, D_S] is t; `label` [rows] the teacher's class; `classifier` [classes, D_S] its frozen
    class vectors; `quality` holds the bank's measures, each [rows]; `identity` [rows], from 0 on, whose
    utterances take the row; `auto_margin` [rows] as in `TeacherBatch`; `identity_of` [student classes] the
    identity of each speaker, -1 where the bank has none.
    """

    embedding: Tensor
    label: Tensor
    classifier: Tensor
    quality: Mapping[str, Tensor]
    identity: Tensor
    auto_margin: Tensor
    identity_of: Tensor

    @cached_property
    def class_map(self) -> Tensor:
        """Teacher class of each student class, int64 [student classes], -1 where the bank has nobody."""
        label_of = self.label.new_empty(int(self.identity.max()) + 1)
        label_of[self.identity] = self.label
        return torch.where(self.identity_of < 0, -1, label_of[self.identity_of])

    def batch(self, rows: Tensor) -> TeacherBatch:
        """The targets of bank rows [batch]; -1 stands for a sample without teacher input."""
        matched = rows >= 0
        rows = rows.clamp_min(0)
        return TeacherBatch(
            self.embedding[rows], self.label[rows], self.classifier, self.class_map, self.auto_margin[rows],
            {name: values[rows] for name, values in self.quality.items()}, matched, self.embedding, self.label,
        )  # fmt: skip

    def to(self, device: torch.device | str) -> TeacherTargets:
        return TeacherTargets.unpacked({name: tensor.to(device) for name, tensor in self.packed().items()})

    def permuted(self, seed: int) -> TeacherTargets:
        """The control: every identity is given the rows of another one of another class, and its class."""
        return self.taking(self.permutation(seed))

    def taking(self, chosen: np.ndarray) -> TeacherTargets:
        """What row `chosen[k]` is and means becomes that of row k; whose utterances take row k stays."""
        given = {name: getattr(self, name)[chosen] for name in ("embedding", "label", "auto_margin")}
        quality = {name: values[chosen] for name, values in self.quality.items()}
        return replace(self, quality=quality, **given)

    def permutation(self, seed: int) -> np.ndarray:
        """The control's choice: for each row the row that it becomes, int64 [rows].

        A random permutation of the identities; whoever would keep an equal class swaps with somebody drawn at
        random. Where the other one has fewer rows they are dealt again from the first, where it has more the
        last ones go unused. Raises `DataError` where more than half of the identities are of one class.
        """
        identity = self.identity.numpy()
        rows_of = [np.flatnonzero(identity == each) for each in range(identity.max() + 1)]
        labels = self.label.numpy()[[rows[0] for rows in rows_of]]
        if np.bincount(labels).max() > len(labels) / 2:
            raise DataError(
                "the control cannot be made: more than half of the speakers have one and the same teacher input",
                expected="inputs that differ", found=f"{np.bincount(labels).max()} of {len(labels)} equal",
            )  # fmt: skip
        rng = np.random.default_rng(seed)
        source = rng.permutation(len(labels))
        while len(kept := np.flatnonzero(labels[source] == labels)):
            other = int(rng.integers(len(labels)))
            source[[kept[0], other]] = source[[other, kept[0]]]
        chosen = np.empty_like(identity)
        for rows, other in zip(rows_of, source, strict=True):
            chosen[rows] = np.resize(rows_of[other], len(rows))
        return chosen

    def packed(self) -> dict[str, Tensor]:
        """Every tensor by name, a quality as `quality.NAME`."""
        single = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "quality"}
        return single | {f"{QUALITY}{name}": values for name, values in self.quality.items()}

    @classmethod
    def unpacked(cls, tensors: Mapping[str, Tensor]) -> TeacherTargets:
        """The reverse of `packed`; raises `TypeError` where one is missing or unknown."""
        single = {name: tensor for name, tensor in tensors.items() if not name.startswith(QUALITY)}
        quality = {name.removeprefix(QUALITY): tensors[name] for name in tensors if name.startswith(QUALITY)}
        return cls(quality=quality, **single)

    def save(self, path: str | Path) -> None:
        with write_atomically(path) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in self.packed().items()}, temporary)

    @classmethod
    def load(cls, path: str | Path) -> TeacherTargets:
        """Read what `save` wrote; raises `DataError` where the file is damaged."""
        try:
            return cls.unpacked(load_file(path))
        except (OSError, SafetensorError, TypeError) as error:
            raise _damaged(path, error) from error


@dataclass(frozen=True)
class Stage1Report:
    """What the teacher can know: printed before a student is trained."""

    identities: int
    classes: int
    inputs: int
    """Different inputs: texts, or pictures."""
    accuracy: float
    """Share of the bank's rows whose class the fitted head and classifier recognise."""

    @property
    def ceiling(self) -> float:
        """Best identification rate that any classifier can reach from these inputs alone."""
        return self.classes / self.identities


def fit_head(
    bank: Bank,
    student_size: int,
    speakers: Sequence[str],
    *,
    steps: int = 300,
    learning_rate: float = 3e-3,
    seed: int = 0,
    kind: HeadKind = "residual",
) -> tuple[TeacherHead, TeacherTargets, Stage1Report]:
    """Fit head and classifier with the identity loss over the bank's rows, then freeze them.

    A head that is not `residual` is not fitted, only the classifier. `speakers` are the student's classes, in
    their order. The global random state is left as it was.
    """
    identities, classes = _identities_and_classes(bank)
    identity = torch.tensor([identities[row.identity] for row in bank.rows])
    labels = torch.tensor([classes[row.identity] for row in bank.rows])
    n_classes = int(labels.max()) + 1
    x = torch.from_numpy(bank.embeddings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = TeacherHead(x.shape[1], student_size, kind)
        head.centre(x)
        classifier = AamSoftmax(n_classes, student_size)
        parameters = [*head.fitted, *classifier.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
        for _ in range(steps):
            optimizer.zero_grad()
            classifier(head(x), labels).mean().backward()
            optimizer.step()
            schedule.step()
    head.eval().requires_grad_(False)
    with torch.no_grad():
        t = head(x)
        weight = classifier.weight.detach().clone()
        logits = nn.functional.normalize(t) @ nn.functional.normalize(weight).T
        accuracy = float((logits.argmax(1) == labels).float().mean())
    identity_of = torch.tensor([identities.get(speaker, -1) for speaker in speakers])
    margin = auto_margin(t, labels, identity)
    quality = {name: torch.from_numpy(values) for name, values in bank.quality.items()}
    targets = TeacherTargets(t, labels, weight, quality, identity, margin, identity_of)
    return head, targets, Stage1Report(len(identities), n_classes, bank.distinct_inputs, accuracy)


def _damaged(path: str | Path, error: Exception) -> DataError:
    return DataError(
        "a file of stage 1 is damaged", file=path, found=str(error),
        fix="Delete the teacher's folder and run the recipe again",
    )  # fmt: skip


def _identities_and_classes(bank: Bank) -> tuple[dict[str, int], dict[str, int]]:
    """Number of each identity, and of its class, in the sorted order of ids and of sets of inputs."""
    inputs: dict[str, set[str]] = {}
    for row in bank.rows:
        inputs.setdefault(row.identity, set()).add(row.input)
    sets = {identity: tuple(sorted(found)) for identity, found in inputs.items()}
    order = {found: place for place, found in enumerate(sorted(set(sets.values())))}
    identities = {identity: place for place, identity in enumerate(sorted(sets))}
    return identities, {identity: order[found] for identity, found in sets.items()}
