"""VoxCeleb1 and VoxCeleb2 as distributed: m4a to flac, manifests, trial lists, descriptions, faces.

    python -m data_prep.voxceleb convert VOXCELEB2 OUT
    python -m data_prep.voxceleb prepare DATA OUT --train vox1|vox2|both [--trials LIST ...]
        [--metadata vox1_meta.csv vox2_meta.csv] [--faces FOLDER ...]

VOXCELEB2 is the folder that holds `dev/aac`. DATA holds the unpacked folders of all that is used, or links to
them: `vox1_dev_wav/wav`, `vox1_test_wav/wav`, `dev/flac` ..., at most three levels above the speakers.
`cmd-speaker check-data voxceleb DATA` says whether it is complete. The recipe takes OUT as `--prepared OUT`. See
`prepare` and `convert`.
"""

from data_prep.voxceleb.conversion import Converted, convert
from data_prep.voxceleb.preparation import NAME, Prepared, asked, prepare

__all__ = ["NAME", "Converted", "Prepared", "asked", "convert", "prepare"]
