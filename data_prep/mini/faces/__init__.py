"""Drawn faces: a person's looks, a session's circumstances, and pictures of both."""

from data_prep.mini.faces.looks import Looks, draw_looks
from data_prep.mini.faces.picture import Sitting, draw_picture, draw_sitting

__all__ = ["Looks", "Sitting", "draw_looks", "draw_picture", "draw_sitting"]
