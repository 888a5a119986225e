"""What a trained student is worth: embeddings, scores and error rates of one test list, in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cmd_speaker.embeddings import Embeddings, save_embeddings
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.evaluation.comparison import caution, compare, describe, table
from cmd_speaker.evaluation.summary import Summary, summarise
from cmd_speaker.files import write_json
from cmd_speaker.lists.scores import load_scores
from cmd_speaker.lists.trials import all_pairs
from cmd_speaker.manifest import Manifest, Utterance
from cmd_speaker.model import Damage, SpeakerModel
from cmd_speaker.progress import track
from cmd_speaker.scoring.job import ScoringJob
from cmd_speaker.scoring.scorer import cosine_scores


def embed_utterances(
    model: SpeakerModel,
    utterances: Sequence[Utterance],
    *,
    convert: bool = False,
    list_path: Path | None = None,
    damage: Damage | None = None,
) -> tuple[Embeddings, list[DataError]]:
    """Embeddings of all readable utterances, in order, and an error for each of the others.

    `list_path` is the list from which they come, named in the errors; `damage` is that of `SpeakerModel`. Raises
    `DataErrors` where none is readable.
    """
    errors: list[DataError] = []
    pairs = model.embed_utterances(
        utterances, errors.append, convert=convert, list_path=list_path, damage=damage
    )
    vectors = dict(track(pairs, "Embedding", len(utterances)))
    if not vectors:
        raise DataErrors("no utterance could be embedded", errors)
    return Embeddings(
        list(vectors), np.stack(list(vectors.values())), model=model.description.get("checksum")
    ), errors


def evaluate_student(model: SpeakerModel, test: Manifest, trials: Path, folder: str | Path) -> str:
    """Embed `test`, score the list `trials` and all pairs, write everything below `folder`, and return a table.

    Files: `embeddings.npz`, `scores.txt` with its record, and `results.json` (fractions, not percent).
    """
    folder = Path(folder)
    embeddings, errors = embed_utterances(model, test.utterances, list_path=test.path)
    if errors:
        raise DataErrors(f"{test.path}: {len(errors)} of {len(test)} utterances cannot be embedded", errors)
    save_embeddings(folder / "embeddings.npz", embeddings)
    speakers = {utterance.id: utterance.spk_id for utterance in test}
    scored = ScoringJob(folder / "embeddings.npz", trials, folder / "scores.txt").run()
    if scored.left_out:
        raise DataErrors(
            f"{trials}: {scored.left_out} trials cannot be scored", scored.errors, scored.left_out
        )
    listed = load_scores(folder / "scores.txt")
    pairs, _ = cosine_scores(embeddings, all_pairs(embeddings.ids, [speakers[i] for i in embeddings.ids]))
    rows: dict[str, Summary] = {
        trials.name: summarise(listed, speakers),
        "all pairs": summarise(pairs, speakers, replicates=0),
    }
    results = {name: summary.as_dict() for name, summary in rows.items()}
    write_json(folder / "results.json", results)
    return "\n".join(f"{name:<18} {summary}" for name, summary in rows.items())


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
