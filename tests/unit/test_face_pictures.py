"""Pictures of every kind that people have, and what is said of those that are none."""

import numpy as np
import pytest
from PIL import Image

from cmd_speaker.errors import DataError
from cmd_speaker.teachers.pictures import EXTENSIONS, pictures_at, read_picture

RAMP = np.tile(np.linspace(0, 1, 64), (8, 1))


def same_ramp(path):
    """Whether a file holds the ramp from black to white, in every colour; JPEG is off by a little."""
    pixels = read_picture(path)
    return pixels.shape == (3, 8, 64) and np.abs(pixels - 255 * RAMP).max() <= 6


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", suffix) for suffix in EXTENSIONS]
    + [("L", ".pgm"), ("L", ".jpg"), ("CMYK", ".jpg"), ("LA", ".png"), ("RGBA", ".png"), ("RGBA", ".webp")],
)
def test_modes_and_formats(tmp_path, mode, suffix):
    path = tmp_path / f"picture{suffix}"
    Image.fromarray((255 * RAMP).astype(np.uint8)).convert(mode).save(path)
    assert same_ramp(path)
    assert pictures_at(tmp_path) == [path]


@pytest.mark.parametrize("suffix", [".png", ".pgm"])
def test_16_bits_are_scaled_not_cut_off(tmp_path, suffix):
    path = tmp_path / f"deep{suffix}"
    Image.fromarray((65535 * RAMP).round().astype(np.uint16)).save(path)
    assert same_ramp(path)


def test_a_palette_with_transparency_keeps_its_colours(tmp_path):
    picture = Image.fromarray((255 * RAMP).astype(np.uint8)).convert("P")
    picture.save(tmp_path / "p.png", transparency=3)
    assert same_ramp(tmp_path / "p.png")


def test_of_a_moving_picture_the_first_is_taken(tmp_path):
    first = Image.fromarray((255 * RAMP).astype(np.uint8)).convert("RGB")
    black = Image.new("RGB", first.size)
    first.save(tmp_path / "moving.webp", save_all=True, append_images=[black], lossless=True)
    assert same_ramp(tmp_path / "moving.webp")


def test_what_is_said_of_a_broken_file_has_no_path_in_it(tmp_path):
    """A path may hold a name, and reasons go into reports; the error's own `file` says which it is."""
    folder = tmp_path / "Firstname_Lastname"
    folder.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(
        folder / "whole.png"
    )
    (folder / "text.png").write_text("no picture")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:900])
    (folder / "empty.png").touch()
    for name in ("text.png", "cut.png", "empty.png", "gone.png"):
        with pytest.raises(DataError) as caught:
            read_picture(folder / name)
        assert caught.value.file == folder / name
        assert caught.value.found
        assert "Firstname" not in f"{caught.value.problem} {caught.value.found}"
