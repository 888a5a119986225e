"""Enrolled speakers on disk: who is it, of those enrolled, or nobody?"""

from cmd_speaker.registry.enrolled import Enrolled
from cmd_speaker.registry.identification import Candidate, Identification
from cmd_speaker.registry.registry import Registry, Speaker
from cmd_speaker.registry.seal import read_key

__all__ = ["Candidate", "Enrolled", "Identification", "Registry", "Speaker", "read_key"]
