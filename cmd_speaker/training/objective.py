"""The objective of stage 2: identity loss plus weighted distillation terms, reduced in one place.

`L = mean_i l_id,i + sum_k lambda_k * (sum_i w_i l_k,i) / batch`, k over the terms of every teacher. The
quality weight w, each teacher's own, multiplies the distillation terms only; a sample without teacher input
has w = 0 and still counts for the identity loss. Every lambda and margin may change with the step.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

import torch
from torch import Tensor, nn

from cmd_speaker.losses import Relation, StudentBatch, TeacherBatch
from cmd_speaker.losses.quality import StandardisedQuality, quality_weights
from cmd_speaker.losses.registry import AUTO_MARGIN, LOSSES
from cmd_speaker.quality.sources import NONE, NORM, sign_of
from cmd_speaker.training.options import suggest
from cmd_speaker.training.schedule import Piecewise

NUMBER_OR_POINTS = float | list[list[float]]
"""What `Piecewise.of` takes."""


@dataclass(frozen=True)
class Term:
    """One distillation term: `weight` is its lambda, `loss(student, teacher, margin=...)` gives [batch]."""

    weight: Piecewise
    margin: Piecewise | Literal["auto"]
    loss: Callable[..., Tensor | Relation]

    @classmethod
    def of(
        cls,
        name: str,
        weight: NUMBER_OR_POINTS = 0.0,
        margin: NUMBER_OR_POINTS | Literal["auto"] = 0.0,
        **arguments: Any,
    ) -> Term:
        """The term that a recipe describes; `arguments` are the loss's own.

        Raises `TypeError` for a name or an argument that does not exist and `ValueError` for a bad value, which
        must not wait for the first step.
        """
        if name not in LOSSES:
            raise TypeError(f"no distillation loss '{name}'{suggest(str(name), LOSSES)}")
        auto: Literal["auto"] = "auto"
        try:
            _check_arguments(LOSSES[name], arguments)
            found = name in AUTO_MARGIN and margin == auto
            return cls(
                Piecewise.of(weight),
                auto if found else Piecewise.of(margin),
                functools.partial(LOSSES[name], **arguments),
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"term '{name}': {error}") from error

    def now(self, progress: float) -> tuple[float, float | Literal["auto"]]:
        """Weight and margin when the share `progress` of the training is done."""
        margin = self.margin(progress) if isinstance(self.margin, Piecewise) else self.margin
        return self.weight(progress), margin


def _check_arguments(loss: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """A loss's own arguments are words from a list, switches, or numbers above 0."""
    hints = get_type_hints(loss)
    own = [
        name for name in inspect.signature(loss).parameters if name not in ("student", "teacher", "margin")
    ]
    for name, value in arguments.items():
        if name not in own:
            raise TypeError(f"no argument '{name}'{suggest(name, ['weight', 'margin', *own])}")
        if words := get_args(hints[name]):
            expected, right = f"one of {', '.join(words)}", value in words
        elif hints[name] is bool:
            expected, right = "True or False", isinstance(value, bool)
        else:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            expected, right = "a number above 0", number and 0 < value < math.inf
        if not right:
            raise ValueError(f"{name}: expected {expected}, found {value!r}")


class QualityWeights(nn.Module):
    """w per sample, `max(0, offset + slope * (Q_T - Q_S))`; see `cmd_speaker.losses.quality`.

    Q_T comes from the source `teacher`: "norm", a column of the bank or "none" (0 everywhere); Q_S from `student`:
    "norm", a measure of the speech as heard, a column of the manifest or "none" (`training.qualities`). Where
    more of a source is worse, as with clipping, its sign is changed. Each is standardised over the training
    batches, or without `standardise` taken as it is. Not `enabled`, every sample with a teacher input weighs
    1. Without a teacher input it weighs 0.

    Raises `ValueError` for what is no name or no finite number.
    """

    def __init__(
        self,
        enabled: bool = True,
        slope: float = 1.0,
        offset: float = 1.0,
        teacher: str = NORM,
        student: str = NORM,
        standardise: bool = True,
    ) -> None:
        super().__init__()
        for name, source in (("teacher", teacher), ("student", student)):
            if not isinstance(source, str) or not source:
                raise ValueError(f"quality, {name}: expected the name of a source, found {source!r}")
        for name, number in (("slope", slope), ("offset", offset)):
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                raise ValueError(f"quality, {name}: expected a finite number, found {number!r}")
        self.enabled, self.slope, self.offset, self.standardise = enabled, slope, offset, standardise
        self.teacher_source, self.student_source = teacher, student
        self.teacher, self.student = StandardisedQuality(), StandardisedQuality()

    def forward(self, student: StudentBatch, teacher: TeacherBatch) -> Tensor:
        """Weights [batch], without gradient."""
        matched = teacher.matched
        if not self.enabled:
            return matched.to(student.embedding.dtype)
        of_teacher = self._quality(self.teacher, self.teacher_source, teacher.quality, matched)
        everyone = torch.ones_like(matched)
        of_speech = self._quality(self.student, self.student_source, student.quality, everyone)
        weights = quality_weights(of_teacher, of_speech, self.slope, self.offset)
        return weights.where(matched, 0.0).to(student.embedding.dtype)

    def _quality(
        self, standardised: StandardisedQuality, source: str, values: Mapping[str, Tensor], known: Tensor
    ) -> Tensor:
        if source == NONE:
            return torch.zeros(len(known), device=known.device)
        raw = sign_of(source) * values[source].detach().float()
        return standardised(raw, known) if self.standardise else raw.where(known, 0.0)


class Distillation(nn.Module):
    """What one teacher asks of the student: the sum of named terms under one weight per sample.

    `weight` is a factor of all terms. A term that never weighs anything is left out. `quality` gives the weights
    of the samples.
    """

    def __init__(
        self, terms: Mapping[str, Term], quality: QualityWeights, weight: NUMBER_OR_POINTS = 1.0
    ) -> None:
        super().__init__()
        self.weight, self.quality = Piecewise.of(weight), quality
        self.terms = {name: term for name, term in terms.items() if term.weight.peak and self.weight.peak}

    def forward(
        self, student: StudentBatch, teacher: TeacherBatch, progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the terms, and what to log, when the share `progress` of the training is done.

        Logged are each term's value, its share active, the mean weight of the samples, and the weight and margin
        of a term where they change. `NAME_active` is the share outside the margin: of the matched samples, or of
        their pairs or triplets.
        """
        teacher = _as_target(teacher)
        weights = self.quality(student, teacher)
        total, log = student.embedding.new_zeros(()), {"weight": weights.mean().detach()}
        for name, term in self.terms.items():
            factor, margin = term.now(progress)
            factor *= self.weight(progress)
            found = term.loss(student, teacher, margin=margin)
            values, outside = found if isinstance(found, Relation) else (found, found > 0)
            reduced = (weights * values).sum() / len(values)
            total = total + factor * reduced
            log[name] = reduced.detach()
            log[f"{name}_active"] = _mean(outside[teacher.matched])
            if not (term.weight.constant and self.weight.constant):
                log[f"{name}_weight"] = torch.tensor(factor)
            if not isinstance(margin, float):
                log[f"{name}_margin"] = _mean(teacher.auto_margin[teacher.matched])
            elif isinstance(term.margin, Piecewise) and not term.margin.constant:
                log[f"{name}_margin"] = torch.tensor(margin)
        return total, log


def distillation(
    terms: Mapping[str, Mapping[str, Any]],
    quality: Mapping[str, Any],
    weight: NUMBER_OR_POINTS = 1.0,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    teacher_quality: str = NORM,
) -> Distillation:
    """A recipe's plain `terms`, {LOSS: {weight, margin, the loss's own arguments}}, as a `Distillation`.

    `quality` holds the arguments of `QualityWeights` but for its source of the teacher's, `teacher_quality`.
    `weight` is a factor of all of them, 0: without this teacher. `changes`, of the same form, holds what this
    teacher's terms have otherwise. Raises `TypeError` or `ValueError` as `Term.of`.
    """
    changes = changes or {}
    for each in (terms, changes):
        if not isinstance(each, Mapping) or not all(isinstance(term, Mapping) for term in each.values()):
            raise TypeError(
                f"terms: expected {{LOSS: {{weight: ..., margin: ..., ...}}, ...}}, found {each!r}"
            )
    merged = {name: {**terms.get(name, {}), **changes.get(name, {})} for name in {**terms, **changes}}
    built = {name: Term.of(name, **each) for name, each in merged.items()}
    known = [name for name in inspect.signature(QualityWeights).parameters if name != "teacher"]
    if not isinstance(quality, Mapping):
        raise TypeError(f"quality: expected {{{': ..., '.join(known)}: ...}}, found {quality!r}")
    if unknown := [name for name in quality if name not in known]:
        raise TypeError(f"quality: no argument '{unknown[0]}'{suggest(str(unknown[0]), known)}")
    return Distillation(built, QualityWeights(teacher=teacher_quality, **quality), weight)


def _as_target(teacher: TeacherBatch) -> TeacherBatch:
    """Without gradient, and zeros for unmatched samples: an infinite value would survive a weight of 0."""
    none = ~teacher.matched
    return teacher._replace(
        embedding=teacher.embedding.detach().masked_fill(none[:, None], 0),
        label=teacher.label.masked_fill(none, 0),
        classifier=teacher.classifier.detach(),
        auto_margin=teacher.auto_margin.detach().masked_fill(none, 0),
        quality={name: values.detach().masked_fill(none, 0) for name, values in teacher.quality.items()},
        bank_embedding=teacher.bank_embedding.detach(),
    )


def _mean(values: Tensor) -> Tensor:
    """The mean, 0 of nothing."""
    return values.float().mean().nan_to_num()
