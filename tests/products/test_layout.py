import pytest

from pipeline.files import write_json
from pipeline.products import layout
from pipeline.products.publish import publish
from tests.products.known import LABEL, make_enhancement, manifest_of, stage_product


def published(out, **scene):
    enhancement = make_enhancement(**scene)
    staging, final = stage_product(out, enhancement)
    return enhancement, publish(staging, final, manifest_of(enhancement))


def test_a_dated_scene_lies_under_its_year_and_month(tmp_path):
    ref = make_enhancement().scene.ref
    assert layout.product_folder(tmp_path, LABEL, ref) == tmp_path / LABEL / "2024" / "07" / ref.scene_id


def test_an_undated_scene_gets_no_invented_date(tmp_path):
    ref = make_enhancement(acquired=None).scene.ref
    assert layout.product_folder(tmp_path, LABEL, ref) == tmp_path / LABEL / "undated" / ref.scene_id


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", ".hidden", "name\n", "ünicode", "x" * 300])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="no safe file name"):
        layout.record_path(tmp_path, LABEL, name)


@pytest.mark.parametrize("acquired", ["2024-07-28T20:40:25Z", None])
def test_a_published_product_is_found_by_its_content(tmp_path, acquired):
    enhancement, final = published(tmp_path, acquired=acquired)
    assert layout.find_product(tmp_path, LABEL, enhancement.scene.ref.digest) == final


def test_content_with_the_same_first_digits_is_not_taken_for_done(tmp_path):
    enhancement, _ = published(tmp_path)
    other = enhancement.scene.ref.digest[:8] + "f" * 56
    assert layout.find_product(tmp_path, LABEL, other) is None


def test_another_recipe_has_its_own_products(tmp_path):
    enhancement, _ = published(tmp_path)
    assert layout.find_product(tmp_path, "fast-x4-99999999", enhancement.scene.ref.digest) is None


def test_a_product_in_the_making_is_not_found(tmp_path):
    staging, _ = stage_product(tmp_path)
    write_json(staging / layout.MANIFEST, manifest_of())
    assert list(layout.published_folders(tmp_path / LABEL)) == []
    assert layout.find_product(tmp_path, LABEL, make_enhancement().scene.ref.digest) is None


def test_one_walk_knows_a_whole_night(tmp_path):
    published(tmp_path, scene_id="one-11111111")
    second, final = published(tmp_path, scene_id="two-22222222", acquired=None)
    index = layout.index_products(tmp_path, LABEL)
    assert set(index) == {"11111111", "22222222"}
    assert layout.find_product(tmp_path, LABEL, second.scene.ref.digest, index=index) == final


def test_an_output_root_that_does_not_exist_yet_holds_nothing(tmp_path):
    assert layout.index_products(tmp_path / "new", LABEL) == {}
    assert layout.recipe_folders(tmp_path / "new") == []


def test_analysts_may_read_what_was_staged(tmp_path):
    staging = layout.make_staging_folder(tmp_path / "scene")
    ordinary = tmp_path / "ordinary"
    ordinary.mkdir()
    assert staging.stat().st_mode == ordinary.stat().st_mode
