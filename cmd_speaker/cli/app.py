"""The application that every command joins, and the options that several of them share."""

from __future__ import annotations

from typing import Annotated

import typer

from cmd_speaker import __version__

app = typer.Typer(
    help="Speaker recognition whose models were taught by a richer modality.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, cuda:1, ...")]
Convert = Annotated[
    bool, typer.Option("--convert", help="Allow other sample rates (resampled) and several channels (mean).")
]

Vad = Annotated[
    bool, typer.Option("--vad", help="Embed only what is speech, found by silero-vad (extra: vad).")
]


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"cmd-speaker {__version__}")
        raise typer.Exit
