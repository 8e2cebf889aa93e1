import hashlib
import json

import pytest

from pipeline.files import digest_of, digests_of, text_digest, write_json


def test_a_digest_is_that_of_all_contents_in_their_order(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"12" * (1 << 20))
    second.write_bytes(b"3")
    assert digest_of([first, second]) == hashlib.sha256(first.read_bytes() + b"3").hexdigest()
    assert digest_of([second, first]) != digest_of([first, second])
    assert text_digest("3") == digest_of([second])
    assert digests_of([first, second]) == (
        digest_of([first, second]),
        [digest_of([first]), digest_of([second])],
    )


def test_json_holds_no_number_that_json_does_not_know(tmp_path):
    path = write_json(tmp_path / "a" / "b.json", {"nan": float("nan"), "tuple": (1, 2)})
    assert json.loads(path.read_text()) == {"nan": None, "tuple": [1, 2]}


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(TypeError, match="object has no plain JSON form"):
        write_json(path, {"new": object()})
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]
