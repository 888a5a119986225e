"""What is measured of a system, in one order: for the list itself, for a draw of its speakers, for an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log2
from typing import Any

from cmd_speaker.evaluation.intervals import UNSEEN
from cmd_speaker.evaluation.llr import Bits, curve_cllr, curve_min_cllr
from cmd_speaker.evaluation.metrics import POINTS, Curve, OperatingPoint


@dataclass(frozen=True)
class Figures:
    """EER, min Cllr, minDCF at every point, the miss rate at every false acceptance rate and, for log-likelihood
    ratios (`llr`), the actual DCF at every point and Cllr."""

    points: Sequence[OperatingPoint] = POINTS
    llr: bool = False
    fars: Sequence[float] = ()

    def measure(self, curve: Curve, bits: Bits | None = None) -> list[float]:
        """Their values; `bits` are what `llr.trial_bits` gives, where that is known already."""
        values = [curve.eer()[0], curve_min_cllr(curve)]
        values += [*curve.min_dcfs(self.points), *map(curve.miss_rate, self.fars)]
        if self.llr:
            values += [*map(curve.act_dcf, self.points), curve_cllr(curve, bits)]
        return values

    def named(self, values: Sequence[Any]) -> dict[str, Any]:
        """What belongs to each of them, by name, those of costs by point and those of miss rates by rate."""
        rest = iter(values)
        named: dict[str, Any] = {
            "eer": next(rest),
            "min_cllr": next(rest),
            "min_dcf": {point: next(rest) for point in self.points},
            "miss_at_far": {far: next(rest) for far in self.fars},
        }
        if self.llr:
            named |= {"act_dcf": {point: next(rest) for point in self.points}, "cllr": next(rest)}
        return named

    def unseen(self, curve: Curve) -> list[float]:
        """What `UNSEEN` errors would add to each of them, of every kind of which it rests on none."""
        targets, nontargets = curve.ordered.targets, curve.ordered.nontargets
        miss, false_alarm = UNSEEN / len(targets), UNSEEN / len(nontargets)
        added = [0.0, 0.0]
        if curve.eer()[0] == 0:
            rate = min(max(miss, false_alarm), 0.5)
            # At an equal error rate of e no LLRs cost more bits than the entropy of e.
            added = [rate, -rate * log2(rate) - (1 - rate) * log2(1 - rate)]
        # The costs without a miss, and without a false alarm: where one is the least, the least rests on none.
        far, frr = float(curve.far(targets[0])), curve.miss_rate(0.5 / len(nontargets))
        added += [
            point.cost(miss * (point.cost(0, far) <= cost), false_alarm * (point.cost(frr, 0) <= cost))
            for point, cost in zip(self.points, curve.min_dcfs(self.points), strict=True)
        ]
        added += [miss * (curve.miss_rate(rate) == 0) for rate in self.fars]
        if self.llr:
            counts = [curve.ordered.below(point.threshold) for point in self.points]
            added += [
                point.cost(miss * (missed == 0), false_alarm * (rejected == len(nontargets)))
                for point, (missed, rejected) in zip(self.points, counts, strict=True)
            ]
            added.append(0.0)
        return added

    def most(self) -> list[float]:
        """The highest value that each of them can have."""
        most = [1.0] * (2 + len(self.points) + len(self.fars))
        return [*most, *(point.cost(1.0, 1.0) for point in self.points), inf] if self.llr else most
