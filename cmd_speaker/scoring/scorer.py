"""Embeddings and trials in, scores out: in blocks, so that neither list nor scores need fit in memory.

Blocks of trials go through three stages at once: one is read or written, of the next ones threads compute what
their utterances bring along, and one thread compares the sides. BLAS gets one thread meanwhile: its own threads
would wait, spinning, where ours could work. Which thread computes what has no influence on the numbers.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.lists.scores import Scores
from cmd_speaker.lists.trials import Trials
from cmd_speaker.scoring.backend import Backend, score_all, speakers_of
from cmd_speaker.scoring.budget import Budget
from cmd_speaker.scoring.enrolment import EnrolMap, combine, members
from cmd_speaker.scoring.leakage import LeakageCheck
from cmd_speaker.scoring.normalisation import normalise
from cmd_speaker.scoring.plda import Points
from cmd_speaker.scoring.sides import Sides

KEPT_ERRORS = 1000
SWITCH_SECONDS = 5e-4
"""How long the thread that reads and writes may keep the others from beginning their next array operation."""


@dataclass(frozen=True, eq=False)
class _Block:
    """Trials whose sides are being computed: `enrol` and `test` are rows of `Sides`, or models and rows."""

    trials: Trials
    enrol: np.ndarray
    test: np.ndarray
    futures: list[Future[None]]


class TrialScorer:
    """Scores trials of `embeddings`, or of the models of `enrolled`, under a `backend`.

    `scored` and `left_out` count the trials of all lists so far; `errors` are those of the trials left out,
    at most `kept` of them. `leakage` is asked about every utterance that occurs.

    Raises `DataError` where an id occurs twice or not a single model can be enrolled, and as `Sides` does.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        backend: Backend | None = None,
        *,
        enrolled: EnrolMap | None = None,
        leakage: LeakageCheck | None = None,
        budget: Budget | None = None,
        qualities: bool = False,
        kept: int = KEPT_ERRORS,
    ) -> None:
        self.embeddings, self.backend, self._enrolled = embeddings, backend or Backend(), enrolled
        self._budget = budget or Budget.of()
        self._index = embeddings.index()
        self._members = members(enrolled, self._index) if enrolled else None
        self._qualities, self._kept = qualities, kept
        self.sides = Sides(embeddings, self.backend, self._budget, leakage, self._members, qualities)
        self.scored = self.left_out = 0
        self.errors: list[DataError] = []

    def score(self, blocks: Iterable[Trials]) -> Iterator[Scores]:
        """The scores of each block's trials, in order, those left out that cannot be scored.

        Raises `DataError` for utterances without direction or with cohort scores that do not differ, for what
        `leakage` refuses, and at the end where not a single trial could be scored.
        """
        unusable = None
        with _threads(self._budget.workers) as (computing, comparing):
            waiting: deque[Future[Scores]] = deque()
            read: deque[int] = deque()
            for trials in blocks:
                if unusable is None and len(trials):
                    unusable = trials
                # One thread compares, block after block: what an earlier block asked for is there.
                waiting.append(comparing.submit(self._finish, self._begin(trials, computing)))
                read.append(len(trials))
                while sum(read) > self._budget.trials_ahead():
                    read.popleft()
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        if unusable is not None and not self.scored:
            raise self._nothing_fits(unusable)

    def score_all_pairs(self, utt2spk: Mapping[str, str] | None = None) -> Iterator[Scores]:
        """Every unordered pair of the embeddings once, in blocks; with `utt2spk` they have labels.

        Raises `DataError` as `score` does, for utterances without a speaker, and for a single embedding.
        """
        if self._members is not None:
            raise UsageError("--all-pairs pairs utterances: leave --enrol-map out")
        total = len(self.embeddings)
        if total < 2:
            raise DataError(
                "there are no pairs", file=self.embeddings.path, expected="at least two embeddings", found=total,
                fix="Embed more utterances",
            )  # fmt: skip
        speakers = None
        if utt2spk is not None:
            speakers = np.unique(speakers_of(self.embeddings, utt2spk), return_inverse=True)[1]
        with _threads(self._budget.workers) as (computing, _):
            for future in self.sides.request(np.arange(total), computing):
                future.result()
        step = self._budget.pair_rows(total)
        for start in range(0, total - 1, step):
            rows, columns = slice(start, min(start + step, total)), slice(start + 1, total)
            scores = score_all(self.sides.points(rows), self.sides.points(columns))
            statistics = self.sides.statistics(rows)[:, np.newaxis], self.sides.statistics(columns)
            scores = normalise(scores, self.backend.norm, *statistics)
            later = np.arange(total - start - 1) >= np.arange(len(scores))[:, np.newaxis]
            enrol, test = (side.astype(np.int32) for side in np.nonzero(later))
            enrol, test = enrol + np.int32(start), test + np.int32(start + 1)
            labels = None if speakers is None else speakers[enrol] == speakers[test]
            self.scored += len(enrol)
            yield Scores(Trials(self.embeddings.ids, enrol, test, labels), scores[later])

    def _begin(self, trials: Trials, computing: ThreadPoolExecutor) -> _Block:
        """Look the trials' utterances up, and begin to compute what is new."""
        enrol, test = trials.rows_in(self._index)
        if self._members is not None:
            enrol = trials.rows_in(self._members.index)[0]
        known = (enrol >= 0) & (test >= 0)
        unknown = np.flatnonzero(~known)
        if len(unknown):
            self.left_out += len(unknown)
            room = max(self._kept - len(self.errors), 0)
            self.errors += [self._unknown(trials, k, enrol[k], test[k]) for k in unknown[:room].tolist()]
            trials, enrol, test = trials.take(known), enrol[known], test[known]
        self.scored += len(trials)
        used = [test, enrol]
        if self._members is not None:
            models = np.unique(enrol)
            averaged = models + len(self.embeddings)
            if self.backend.enrolment == "average":
                used, enrol = [test, averaged], enrol + len(self.embeddings)
            else:
                used = [test, self._members.expand(models)[0], *([averaged] if self._qualities else [])]
        return _Block(trials, enrol, test, self.sides.request(np.concatenate(used), computing))

    def _finish(self, block: _Block) -> Scores:
        """Wait for the sides, and compare them."""
        for future in block.futures:
            future.result()
        scores = np.empty(len(block.trials), dtype=np.float32)
        expands = self._members is not None and self.backend.enrolment != "average"
        counts = self._members.counts(block.enrol) if expands and self._members else None
        at_once = self._budget.gathered_trials(self.embeddings.vectors.shape[1])

        for part in _slices(len(scores), counts, at_once):
            enrol, test = block.enrol[part], block.test[part]
            if counts is None or self._members is None:
                scores[part] = self._compare(enrol, test)
            else:
                enrol, starts = self._members.expand(enrol)
                single = self._compare(enrol, np.repeat(test, counts[part]))
                scores[part] = combine(single, starts, self.backend.enrolment)
        return Scores(block.trials, scores)

    def _compare(self, enrol: np.ndarray, test: np.ndarray) -> np.ndarray:
        """The normalised scores of rows `enrol` [n] against rows `test` [n], pair by pair: float32 [n]."""
        scores = score_pairs(self.sides.points(enrol), self.sides.points(test))
        if not self.backend.normalises:
            return scores
        return normalise(scores, self.backend.norm, self.sides.statistics(enrol), self.sides.statistics(test))

    def _unknown(self, trials: Trials, k: int, enrol: int, test: int) -> DataError:
        """The error of trial k, whose rows `enrol` and `test` are -1 where there is no embedding."""
        model = trials.pair(k)[0]
        if self._enrolled is not None and self._members is not None and enrol < 0:
            lacking = self._members.missing.get(model)
            problem = f"no model '{model}'" if lacking is None else f"model '{model}' lacks {lacking}"
            return DataError(
                problem, file=trials.path, row=trials.row(k),
                expected=f"a model of {self._enrolled.path or 'the enrolment map'}, all its utterances embedded",
                found="an unknown model" if lacking is None else f"{len(lacking)} utterances without embedding",
                fix="Complete the map or the embeddings, or take the trial off the list",
            )  # fmt: skip
        sides = [name for name, row in zip(trials.pair(k), (enrol, test), strict=True) if row < 0]
        return DataError(
            f"no embedding of {' and '.join(repr(name) for name in sides)}", file=trials.path, row=trials.row(k),
            expected=f"an id of {self.embeddings.path or 'the embeddings'}", found="an unknown utterance",
            fix="Embed the utterance, or take the trial off the list",
        )  # fmt: skip

    def _nothing_fits(self, trials: Trials) -> DataError:
        ids = f"ids like '{self.embeddings.ids[0]}' as in {self.embeddings.path or 'the embeddings'}"
        if self._members is not None:
            ids = f"models like '{next(iter(self._members.index))}' and {ids}"
        return DataError(
            f"none of the {self.left_out} trials can be scored", file=trials.path, row=trials.row(0),
            expected=ids, found=f"'{' '.join(trials.pair(0))}'",
            fix="Use the same ids in the embeddings and the trial list",
        )  # fmt: skip


def cosine_scores(embeddings: Embeddings, trials: Trials) -> tuple[Scores, list[DataError]]:
    """The cosine of the angle between the two embeddings of each trial: float32 in [-1, 1].

    Returns the scores of the trials whose utterances both have an embedding, and one error for each of the
    others. Raises `DataError` for embeddings of length zero, which have no direction, for an id that
    occurs twice, and where not a single trial can be scored.
    """
    scorer = TrialScorer(embeddings, kept=len(trials))
    (scores,) = scorer.score([trials])
    return scores, scorer.errors


def score_pairs(enrol: Points, test: Points) -> np.ndarray:
    """The scores of n pairs before normalisation: float32 [n], a cosine within [-1, 1]."""
    scores = np.einsum("nd,nd->n", enrol.vectors, test.vectors)
    if enrol.offsets is None or test.offsets is None:
        return np.clip(scores, -1, 1, out=scores)
    return scores + enrol.offsets + test.offsets


def _slices(total: int, counts: np.ndarray | None, at_once: int) -> Iterator[slice]:
    """Runs of trials whose `counts` (1 each by default) sum to `at_once`, or one trial where it has more."""
    ends = np.arange(1, total + 1) if counts is None else np.cumsum(counts)
    start = 0
    while start < total:
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + at_once, side="right")), start + 1)
        yield slice(start, stop)
        start = stop


@contextmanager
def _threads(workers: int) -> Iterator[tuple[ThreadPoolExecutor, ThreadPoolExecutor]]:
    """Threads that compute sides, with one of BLAS each, and one that compares them.

    What they have not begun is dropped when the block is left.
    """
    from threadpoolctl import threadpool_limits

    pools = ThreadPoolExecutor(workers), ThreadPoolExecutor(1)
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(SWITCH_SECONDS)
        with threadpool_limits(1, user_api="blas"):
            yield pools
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(interval)
