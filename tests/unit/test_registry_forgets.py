"""Not a byte of who was forgotten, and nothing readable of who is enrolled under a key."""

import random
import sqlite3
import unicodedata

import numpy as np
import pytest

from cmd_speaker.errors import UsageError
from cmd_speaker.registry import Registry, read_key
from cmd_speaker.registry.seal import KEY_VARIABLE
from cmd_speaker.registry.store import FILE_NAME, Identity, Store
from tests.refusals import refused
from tests.registries import COSINE, KEY, MODEL, counts, enrolled, folder_bytes, recording


def person(number):
    """A name that occurs nowhere else, and three recordings of 192 dimensions."""
    rng = np.random.default_rng(number)
    name = f"Größe/{rng.integers(1 << 60):015x}" + "·" * int(rng.integers(0, 200))
    return name, [enrolled(*rng.standard_normal(192)) for _ in range(3)]


def traces(folder, name, recordings):
    """What of a person is found in the folder: the name in any encoding, parts of the voice, checksums."""
    content = folder_bytes(folder)
    parts = [name.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")]
    parts += [unicodedata.normalize("NFD", name).encode(), name[6:21].encode()]
    for each in recordings:
        vector = each.recording.embedding
        parts += [vector[k : k + 4].tobytes() for k in range(0, 192, 4)] + [vector[1:5].byteswap().tobytes()]
        parts += [each.sha256.encode(), bytes.fromhex(each.sha256)]
    return [part for part in parts if part in content]


@pytest.fixture(params=[None, KEY], ids=["open", "encrypted"])
def key(request):
    if request.param:
        pytest.importorskip("cryptography")
    return request.param


def test_forgotten_people_leave_no_byte(tmp_path, key):
    people = [person(number) for number in range(80)]
    rng = random.Random(0)
    with Registry.begin(tmp_path, MODEL, tmp_path, key) as registry:
        for name, recordings in people:
            for each in recordings:
                registry.enrol(name, [each])
        if key is None:
            assert all(len(traces(tmp_path, *each)) > 100 for each in people[:5]), (
                "the search finds what is there"
            )
        tags = {name: registry._rows._seal.tag("speaker", name) for name, _ in people}
        gone = rng.sample(people, 20)
        for name, recordings in gone:
            registry.forget(name)
            assert traces(tmp_path, name, recordings) == []
            assert tags[name] not in folder_bytes(tmp_path), "nor what was derived of the name"
        assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
        assert set(counts(registry)) == {name for name, _ in people} - {name for name, _ in gone}


def test_copies_that_split_pages_keep_are_gone(tmp_path):
    """With `secure_delete` alone, SQLite 3.40 leaves tags and the head of a row here, in gaps of pages."""
    rng, live, gone = random.Random(0), [], []
    store = Store(tmp_path)
    with store.writing():
        store.begin(Identity("00", MODEL, "model", "none", b""))
        for _ in range(4000):
            if live and rng.random() < 0.45:
                gone.append(live.pop(rng.randrange(len(live))))
                store.remove(gone[-1][0])
            else:
                size = rng.choice([100, 300, 900, 1200, 2500, 5000])
                live.append((rng.randbytes(16), rng.randbytes(16), rng.randbytes(size)))
                store.add(*live[-1])
    store.finish()
    content = (tmp_path / FILE_NAME).read_bytes()
    store.close()
    assert len(gone) > 1500
    ends = [part for *tags, row in gone for part in (*tags, row[:16], row[-16:])]
    assert not [part for part in ends if part in content]
    assert all(part in content for *tags, row in live for part in (*tags, row[:16]))


def test_nobody_is_kept_for_a_damaged_index(tmp_path):
    """An index that lacks a row must not make `forget` pass the row over and say that it is done."""
    name, recordings = person(1)
    with Registry.begin(tmp_path, MODEL, tmp_path) as registry:
        registry.enrol(name, recordings)
    database = sqlite3.connect(tmp_path / FILE_NAME)
    database.executescript(
        "DROP INDEX speakers; CREATE INDEX speakers ON recordings (speaker) WHERE id > 1;"
        "PRAGMA writable_schema = ON;"
        "UPDATE sqlite_master SET sql = 'CREATE INDEX speakers ON recordings (speaker)' WHERE name = 'speakers'"
    )
    database.close()
    with Registry.open(tmp_path) as registry:
        assert registry.recordings(name) == 2
        assert refused(lambda: registry.forget(name), "malformed", "Copy it again")


def test_another_programs_log_is_no_hiding_place(tmp_path):
    name, recordings = person(1)
    with Registry.begin(tmp_path, MODEL, tmp_path) as registry:
        registry.enrol(name, recordings)
    database = sqlite3.connect(tmp_path / FILE_NAME)
    assert database.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    database.close()
    with Registry.open(tmp_path) as registry:
        registry.forget(name)
        assert traces(tmp_path, name, recordings) == []
        assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_deletion_broken_off_is_finished_at_the_next_opening(tmp_path, monkeypatch):
    people = [person(number) for number in range(60)]
    with Registry.begin(tmp_path, MODEL, tmp_path) as registry:
        registry.enrol_all(people)
        monkeypatch.setattr(Store, "finish", lambda _: None)
        for name, _ in people[:59]:
            registry.forget(name)
    monkeypatch.undo()
    size = (tmp_path / FILE_NAME).stat().st_size
    with Registry.open(tmp_path) as registry:
        assert list(counts(registry)) == [people[59][0]]
    assert (tmp_path / FILE_NAME).stat().st_size < size / 3
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        assert database.execute("SELECT forgotten, rebuilt FROM registry").fetchone() == (59, 59)
        assert database.execute("PRAGMA freelist_count").fetchone() == (0,)
    database.close()


def test_under_a_key_nothing_can_be_read(tmp_path, key):
    people = [person(number) for number in range(40)]
    with Registry.begin(tmp_path, MODEL, tmp_path, key) as registry:
        registry.enrol_all(people)
    found = [traces(tmp_path, *each) for each in people]
    if key is None:
        assert all(len(each) > 100 for each in found)
        return
    assert found == [[]] * len(people)
    with Registry.open(tmp_path, key) as registry:
        assert counts(registry) == {name: 3 for name, _ in people}
        vector = people[7][1][0].recording.embedding
        assert registry.identify(recording(*vector), COSINE).candidates[0].name == people[7][0]


def test_the_same_voice_never_has_the_same_bytes(tmp_path):
    """Enrolled twice in one registry, then in another: there the tags differ too."""
    pytest.importorskip("cryptography")
    rows = []
    for folder in ("a", "a", "b"):
        with Registry.begin(tmp_path / folder, MODEL, tmp_path, KEY) as registry:
            registry.enrol("Anna", [enrolled(1, 0)])
            rows.extend(registry._rows.store.rows(0))
            registry.forget("Anna")
    assert len({row.content for row in rows}) == 3
    for tags in ({row.speaker for row in rows}, {row.recording for row in rows}):
        assert len(tags) == 2


def test_a_wrong_key_is_refused(tmp_path):
    pytest.importorskip("cryptography")
    for enrol in (False, True):
        with Registry.begin(tmp_path, MODEL, tmp_path, KEY) as registry:
            if enrol:
                registry.enrol("Anna", [enrolled(1, 0)])
        before = folder_bytes(tmp_path)
        assert refused(lambda: Registry.open(tmp_path, KEY[::-1]), "the key does not fit", FILE_NAME)
        assert refused(lambda: Registry.begin(tmp_path, MODEL, tmp_path, KEY[::-1]), "the key does not fit")
        assert refused(lambda: Registry.open(tmp_path), "is encrypted", "--key-file", KEY_VARIABLE)
        assert folder_bytes(tmp_path) == before
    assert Registry.model_of(tmp_path) == MODEL, "which needs no key"


def test_a_key_too_many_is_refused(tmp_path):
    with Registry.begin(tmp_path, MODEL, tmp_path) as registry:
        registry.enrol("Anna", [enrolled(1, 0)])
    assert refused(lambda: Registry.open(tmp_path, KEY), "not encrypted")


CUT = "CAST(substr(content, 1, 20) || x'00' || substr(content, 22) AS BLOB)"
CHANGES = (
    "UPDATE registry SET cipher = 'none'",
    f"UPDATE registry SET model = '{'b' * 64}'",
    "UPDATE recordings SET content = (SELECT content FROM recordings WHERE id = 2) WHERE id = 1",
    f"UPDATE recordings SET content = {CUT} WHERE id = 1",
    "UPDATE recordings SET content = 'text' WHERE id = 1",
    "UPDATE recordings SET speaker = zeroblob(16) WHERE id = 1",
)


@pytest.mark.parametrize("change", CHANGES)
def test_changes_under_a_key_are_found(tmp_path, change):
    pytest.importorskip("cryptography")
    with Registry.begin(tmp_path, MODEL, tmp_path, KEY) as registry:
        registry.enrol("Anna", [enrolled(1, 0)])
        registry.enrol("Bert", [enrolled(0, 1)])
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute(change)
    database.close()

    def read():
        with Registry.open(tmp_path, KEY) as registry:
            registry.speakers()

    assert refused(read, "not encrypted" if "none" in change else "changed")


def test_encryption_needs_its_library(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cryptography.exceptions", None)
    with pytest.raises(UsageError, match=r"cmd-speaker\[encryption\]"):
        Registry.begin(tmp_path, MODEL, tmp_path, KEY)
    with Registry.begin(tmp_path, MODEL, tmp_path) as registry:
        assert registry.speakers() == [], "nothing was begun"


def test_where_a_key_comes_from(tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY.hex() + "\n")
    assert read_key(file, tmp_path / "reg", {}) == KEY
    assert read_key(file, None, {KEY_VARIABLE: "00" * 32}) == KEY
    assert read_key(None, None, {KEY_VARIABLE: KEY.hex().upper()}) == KEY
    assert read_key(None, None, {}) is None
    assert refused(lambda: read_key(tmp_path / "none", None, {}), "no such key file", "openssl rand")
    assert refused(lambda: read_key(file, tmp_path, {}), "the key lies in the folder")
    for wrong in ("correct horse battery staple", "", KEY.hex()[1:], "é" * 64):
        file.write_text(wrong)
        error = refused(lambda: read_key(file, None, {}), "not a key", str(file), "64 hexadecimal digits")
        assert not wrong or wrong not in str(error), "a key is never shown"
    assert refused(lambda: read_key(None, None, {KEY_VARIABLE: "abc"}), KEY_VARIABLE, "3 characters")
