"""What `pip install cmd-speaker` would bring."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.second_stage
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source") / "cmd-speaker"
    # A copy: a build leaves files beside the sources, and older ones would get into the wheel.
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "results", "*.egg-info"))
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(source)], check=True
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_cmd_speaker_only(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"cmd_speaker"}


def test_the_wheel_holds_every_module_and_style_sheet(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.endswith((".py", ".css"))}
    there = [path for kind in ("*.py", "*.css") for path in (ROOT / "cmd_speaker").rglob(kind)]
    assert packed == {path.relative_to(ROOT).as_posix() for path in there}
