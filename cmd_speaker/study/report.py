"""The results of a study as text and JSON."""

from __future__ import annotations

from pathlib import Path

from cmd_speaker.evaluation.comparison import caution, compare, describe, markdown
from cmd_speaker.files import write_atomically
from cmd_speaker.lists.speakers import load_utt2spk
from cmd_speaker.study.collection import grouped, mean_validation
from cmd_speaker.study.study import Outcome


def write_results(outcome: Outcome, folder: Path) -> str:
    """Write `results.md` below the folder; its text."""
    study, parts = outcome.study, []
    for condition in study.conditions:
        screened = grouped(outcome.screened, condition)
        if screened:
            lines = [f"| {name} | {100 * mean_validation(found):.2f} |" for name, found in screened.items()]
            parts.append(
                "\n".join(
                    [
                        f"**{condition}: screened**",
                        "",
                        "| configuration | validation EER % |",
                        "|---|---|",
                        *lines,
                    ]
                )
            )
            parts.append(f"chosen: {', '.join(outcome.chosen[condition])}")
        final = grouped(outcome.final, condition)
        if study.baseline in final:
            speakers = load_utt2spk(final[study.baseline][0].listed("test.csv"))
            rows = compare({name: [each.scores for each in found] for name, found in final.items()}, speakers)
            parts.append(f"**{condition}**: {describe(rows)}\n\n{markdown(rows)}\n\n{caution(rows)}")
    text = "\n\n".join(parts) + "\n"
    with write_atomically(folder / "results.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text
