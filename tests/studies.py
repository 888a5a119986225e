"""A recipe that trains nothing: in milliseconds it leaves what a recipe leaves in a run's folder."""

from pathlib import Path

HPARAMS = """
seed: 1
output_folder: !ref results/<seed>
data_folder: corpus
cache_folder: !ref <output_folder>/cache
teacher_folder: !ref <output_folder>/teachers
number_of_epochs: 3
test: True
gain: 0.0
vectors: null
sleep: 0.0
fail: False
terms:
    feature: {weight: 0, margin: 0, distance: l2}
teachers:
    text: !apply:cmd_speaker.teachers.text.text_teacher
        folder: null
        seed: !ref <seed>
student: !new:cmd_speaker.students.ecapa.EcapaTdnn
    n_mels: 8
    width: 8
    embedding_size: 4
permute_teacher: False
distillation:
    text: !apply:cmd_speaker.training.objective.distillation
        terms: !ref <terms>
        quality: {}
utterances_per_speaker: 0
"""

SIMPLE = """
recipe: recipe/hparams/fake.yaml
seeds: [1, 2]
baseline: none
configurations:
    none: {gain: 0}
    feature:
        terms: {feature: {weight: 20}}
        grid: {terms.feature.margin: [0, 0.8]}
"""

TRAIN = """
import json, random, sys, time
from pathlib import Path

options = dict(zip([a[2:] for a in sys.argv[2::2]], sys.argv[3::2]))
folder, seed = Path(options["output_folder"]), int(options["seed"])
with (folder.parent.parent / "calls.txt").open("a") as calls:
    calls.write(folder.parent.name + "/" + folder.name + "\\n")
time.sleep(float(options.get("sleep", 0)))
if options.get("fail") == "True":
    print("the cause of the failure")
    sys.exit(3)
gain = float(options.get("gain", 0)) * (options.get("permute_teacher") != "True" or "both" in options)
epochs = int(options.get("number_of_epochs", 3))
(folder / "hyperparams.yaml").write_text(f"data_folder: {options.get('data_folder', 'corpus')}\\n")
record = {"commit": "abc", "versions": {"python": "3"}, "machine": "x", "checksums": {"manifests/test.csv": "1"}}
(folder / "run.json").write_text(json.dumps(record))
with (folder / "train_log.txt").open("w") as log:
    for k in range(1, epochs + 1):
        valid = f"valid eer: {0.2 - gain / 10 - k / 100:.3e}" if k == epochs else ""
        log.write(f"epoch: {k}, lr: 1.00e-03 - train loss: {1 / k:.2e}, train text.feature: {1 / k:.2e}, "
                  f"train text.feature_active: 5.00e-01 - {valid}\\n")
if options.get("test") != "False":
    rng = random.Random(seed)
    names = [(f"s{s:02}", f"s{s:02}u{u}") for s in range(12) for u in range(3)]
    (folder / "manifests").mkdir(exist_ok=True)
    rows = "".join(f"{u},1.0,$data_root/{u}.wav,,,{s}\\n" for s, u in names)
    (folder / "manifests" / "test.csv").write_text("ID,duration,wav,start,stop,spk_id\\n" + rows)
    with (folder / "scores.txt").open("w") as scores:
        for i, (s, u) in enumerate(names):
            for t, v in names[:i]:
                label = int(s == t)
                scores.write(f"{u} {v} {rng.gauss(label * (1.2 + gain), 1):.4f} {label}\\n")
"""


def write_recipe(folder):
    """The recipe in `folder`."""
    (folder / "hparams").mkdir(parents=True)
    (folder / "hparams" / "fake.yaml").write_text(HPARAMS)
    (folder / "train.py").write_text(TRAIN)


def calls(out):
    """The runs that were begun in `out`, in order, `STAGE/NAME`."""
    path = Path(out) / "calls.txt"
    return path.read_text().split() if path.is_file() else []
