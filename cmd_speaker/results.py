"""What a trained student is worth: embeddings, scores and error rates of test lists, in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.embeddings import Embeddings, save_embeddings
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.evaluation.comparison import caution, compare, describe, table
from cmd_speaker.evaluation.summary import Summary, summarise
from cmd_speaker.files import write_json
from cmd_speaker.lists.scores import load_scores
from cmd_speaker.lists.speakers import trial_speakers
from cmd_speaker.lists.trials import all_pairs, load_trials
from cmd_speaker.manifest import Manifest, Utterance
from cmd_speaker.model import Damage, SpeakerModel
from cmd_speaker.progress import track
from cmd_speaker.scoring.enrolment import load_enrol_map
from cmd_speaker.scoring.job import ScoringJob
from cmd_speaker.scoring.scorer import cosine_scores


@dataclass(frozen=True)
class EvaluationList:
    """Trials of test utterances, and under which name their figures stand; without `trials` all pairs.

    `enrol_map` names the utterances of the speakers who are enrolled with several.
    """

    name: str
    trials: Path | None = None
    enrol_map: Path | None = None

    def speakers(self, test: Manifest) -> dict[str, str]:
        """Test utterance, or enrolled model, -> speaker.

        Raises `DataErrors` for every model that has an utterance of another speaker, or one that `test` lacks.
        """
        speakers = {utterance.id: utterance.spk_id for utterance in test}
        if self.enrol_map is None:
            return speakers
        enrolled, models, errors = load_enrol_map(self.enrol_map).models, dict[str, str](), []
        for model, utterances in enrolled.items():
            theirs = {speakers.get(name, "") for name in utterances}
            models[model] = min(theirs)
            if len(theirs) > 1 or "" in theirs:
                error = DataError(
                    f"the speaker of the model '{model}' is not known", file=self.enrol_map,
                    expected=f"utterances of one speaker of {test.path.name}",
                    found=", ".join(f"{name} ({speakers.get(name, 'not there')})" for name in utterances[:5]),
                    fix="Prepare the corpus again",
                )  # fmt: skip
                errors.append(error)
        if errors:
            raise DataErrors(f"{self.enrol_map}: {len(errors)} of {len(enrolled)} models are wrong", errors)
        return speakers | models


def embed_utterances(
    model: SpeakerModel,
    utterances: Sequence[Utterance],
    *,
    list_path: Path | None = None,
    damage: Damage | None = None,
) -> tuple[Embeddings, list[DataError]]:
    """Embeddings of all readable utterances, in order, and an error for each of the others.

    `list_path` is the list from which they come, named in the errors; `damage` is that of `SpeakerModel`. Raises
    `DataErrors` where none is readable.
    """
    errors: list[DataError] = []
    pairs = model.embed_utterances(utterances, errors.append, list_path=list_path, damage=damage)
    vectors = {name: each.embedding for name, each in track(pairs, "Embedding", len(utterances))}
    if not vectors:
        raise DataErrors("no utterance could be embedded", errors)
    return Embeddings(
        list(vectors), np.stack(list(vectors.values())), model=model.description.get("checksum")
    ), errors


def listed_and_all_pairs(trials: Path) -> list[EvaluationList]:
    """A list, under the name of its file, and all pairs of the test utterances."""
    return [EvaluationList(trials.name, trials), EvaluationList("all pairs")]


def check_lists(test: Manifest, lists: Sequence[EvaluationList]) -> None:
    """Raise `DataError` or `DataErrors` where `test` lacks what a list needs, or contradicts its labels."""
    for each in lists:
        if each.trials is not None:
            trial_speakers(load_trials(each.trials), each.speakers(test))


def evaluate_student(
    model: SpeakerModel, test: Manifest, lists: Sequence[EvaluationList], folder: str | Path
) -> str:
    """Embed `test`, score every list, write everything below `folder`, and return a table.

    Files: `embeddings.npz`, `results.json` (fractions, not percent), and for each list its scores with their
    record, `scores.txt` for the first and `scores_FILE.txt` for the others, but none for all pairs.
    """
    folder = Path(folder)
    embeddings, errors = embed_utterances(model, test.utterances, list_path=test.path)
    if errors:
        raise DataErrors(f"{test.path}: {len(errors)} of {len(test)} utterances cannot be embedded", errors)
    save_embeddings(folder / "embeddings.npz", embeddings)
    rows: dict[str, Summary] = {}
    for each in lists:
        speakers = each.speakers(test)
        if each.trials is None:
            trials = all_pairs(embeddings.ids, [speakers[i] for i in embeddings.ids])
            scores, _ = cosine_scores(embeddings, trials)
            rows[each.name] = summarise(scores, speakers, replicates=0)
            continue
        out = folder / ("scores.txt" if each is lists[0] else f"scores_{each.trials.stem}.txt")
        scored = ScoringJob(folder / "embeddings.npz", each.trials, out, enrol_map=each.enrol_map).run()
        if scored.left_out:
            summary = f"{each.trials}: {scored.left_out} trials cannot be scored"
            raise DataErrors(summary, scored.errors, scored.left_out)
        rows[each.name] = summarise(load_scores(out), speakers)
    write_json(folder / "results.json", {name: summary.as_dict() for name, summary in rows.items()})
    width = max(18, *map(len, rows))
    return "\n".join(f"{name:<{width}} {summary}" for name, summary in rows.items())


def compare_students(runs: Mapping[str, Path], test: Manifest, folder: str | Path) -> str:
    """The table of several evaluated students on the trials they were scored on; the first is the baseline.

    `runs` maps a name to the folder that `evaluate_student` wrote. Writes `results.json` (fractions, not percent)
    and `results.png` below `folder`.
    """
    from cmd_speaker.plots import draw_comparison

    speakers = {utterance.id: utterance.spk_id for utterance in test}
    rows = compare({name: [load_scores(run / "scores.txt")] for name, run in runs.items()}, speakers)
    write_json(Path(folder) / "results.json", {row.name: row.as_dict() for row in rows})
    draw_comparison([(describe(rows), rows)], Path(folder) / "results.png")
    return "\n".join(filter(None, (describe(rows), table(rows), caution(rows))))
