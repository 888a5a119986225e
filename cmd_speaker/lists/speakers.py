"""Who speaks in a trial list."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.lists.trials import Trials


def trial_speakers(trials: Trials, utt2spk: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The speaker of both sides of every trial, [n] each, as numbers into the sorted list of their names.

    Raises `DataErrors` for every trial with an utterance that `utt2spk` lacks, and for targets of two
    speakers and nontargets of one.
    """
    used = np.zeros(len(trials.ids), dtype=bool)
    used[trials.enrol] = used[trials.test] = True
    by_id = {name: utt2spk[name] for name in np.array(trials.ids, dtype=object)[used] if name in utt2spk}
    names = sorted(set(by_id.values()))
    number = {name: k for k, name in enumerate(names)}
    enrol, test = trials.rows_in({name: number[speaker] for name, speaker in by_id.items()})
    errors = []
    for k in np.flatnonzero((enrol < 0) | (test < 0)).tolist():
        missing = [name for name, side in zip(trials.pair(k), (enrol[k], test[k]), strict=True) if side < 0]
        errors.append(
            DataError(
                f"the speaker of {' and '.join(repr(name) for name in missing)} is not known",
                file=trials.path,
                row=trials.row(k),
                expected="a row with its speaker in the manifest or utt2spk",
                found="none",
                fix="Give the list that covers all utterances of the trials",
            )
        )
    if not errors and trials.labels is not None:
        wrong = np.flatnonzero((enrol == test) != trials.labels).tolist()
        errors = [_contradiction(trials, k, names[enrol[k]], names[test[k]]) for k in wrong]
    if errors:
        raise DataErrors(f"{len(errors)} of {len(trials)} trials do not fit the speakers", errors)
    return enrol, test, names


def _contradiction(trials: Trials, k: int, enrol: str, test: str) -> DataError:
    assert trials.labels is not None
    same = bool(trials.labels[k])
    return DataError(
        f"the label of '{' '.join(trials.pair(k))}' contradicts the speakers",
        file=trials.path,
        row=trials.row(k),
        expected="one speaker, as it is a target" if same else "two speakers, as it is a nontarget",
        found=f"'{enrol}' and '{test}'",
        fix="Find out whether the trial list or the list of speakers is wrong",
    )
