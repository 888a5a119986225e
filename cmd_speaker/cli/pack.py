"""`cmd-speaker pack`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import app
from cmd_speaker.errors import DataErrors


@app.command()
def pack(
    manifest: Annotated[Path, typer.Argument(help="The training manifest .csv.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder to fill with shards; an unfinished one goes on.")
    ],
    data_root: Annotated[Path | None, typer.Option(help="Folder that $data_root stands for.")] = None,
    shard_size: Annotated[float, typer.Option(help="MB of a shard; a sample is never divided.")] = 1000,
    full: Annotated[
        bool, typer.Option("--full", help="Decode every file instead of reading headers.")
    ] = False,
) -> None:
    """Pack a manifest's audio into WebDataset shards, which recipes read with --shards DIR.

    What cannot be read is left out and listed in DIR/left_out.txt.
    """
    from cmd_speaker.manifest import load_manifest
    from cmd_speaker.shards.index import LEFT_OUT
    from cmd_speaker.shards.packing import pack as pack_manifest

    loaded = load_manifest(manifest, data_root)
    packed = pack_manifest(loaded, out, shard_size=shard_size, full=full)
    index, left_out = packed.index, packed.left_out
    shards, size = len(index.shards), sum(index.sizes) / 1e6
    print(
        f"{out}: {len(index):,} of {len(loaded):,} utterances, {shards:,} shards, {size:,.0f} MB",
        file=sys.stderr,
    )
    if left_out:
        raise DataErrors(f"{len(left_out)} utterances left out ({out / LEFT_OUT})", left_out)
