import json
import multiprocessing
import os
import random
import shutil
import threading
import time

import pytest

from pipeline.errors import DamagedProductError
from pipeline.files import digest_of
from pipeline.products import publish as publish_module
from pipeline.products import stac
from pipeline.products.layout import (
    MANIFEST,
    find_product,
    make_staging_folder,
    product_folder,
    published_folders,
    recipe_folder,
    record_path,
)
from pipeline.products.publish import publish, read_manifest, sweep, verify
from pipeline.products.records import read_record, read_records, write_record
from pipeline.scene import Record
from tests.products.known import LABEL, make_enhancement, make_record, manifest_of, stage_product

DIGEST = make_enhancement().scene.ref.digest


@pytest.fixture
def product(tmp_path):
    staging, final = stage_product(tmp_path)
    return publish(staging, final, manifest_of())


def hidden(out):
    return [path.name for path in out.rglob(".*")]


def test_a_published_product_is_whole(tmp_path, product):
    verify(product)
    assert list(published_folders(recipe_folder(tmp_path, LABEL))) == [product]
    assert hidden(tmp_path) == []


def test_the_manifest_lists_every_other_file(product):
    listed = read_manifest(product)["files"]
    present = {path.relative_to(product).as_posix() for path in product.rglob("*") if path.is_file()}
    assert set(listed) == present - {MANIFEST}


def test_the_manifest_names_content_first(product):
    manifest = read_manifest(product)
    assert next(iter(manifest)) == "content_digest"
    assert manifest["content_digest"] == DIGEST
    assert {"schema", "run_id", "created", "recipe", "inputs"} <= set(manifest)


def test_no_temporary_name_gets_into_any_metadata(product):
    for path in product.rglob("*"):
        if path.is_file():
            assert b".tmp-" not in path.read_bytes(), path


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


CHUNK = "demo-0123abcd_x4.zarr/surface_temperature/c/1/0"


def test_every_file_is_hashed_once(tmp_path, monkeypatch):
    hashed = []

    def counted(files):
        hashed.extend(files := list(files))
        return digest_of(files)

    for module in (publish_module, stac):
        monkeypatch.setattr(module, "digest_of", counted)
    staging, final = stage_product(tmp_path, views=True)
    product = publish(staging, final, manifest_of())
    names = [path.relative_to(staging).as_posix() for path in hashed]
    assert sorted(names) == sorted(read_manifest(product)["files"])
    monkeypatch.undo()
    verify(product)


@pytest.mark.parametrize("name", [CHUNK, "record.json", "demo-0123abcd_x4.zarr/zarr.json"])
def test_a_missing_file_is_named(product, name):
    (product / name).unlink()
    with pytest.raises(DamagedProductError, match=f"demo-0123abcd: {name} is missing"):
        verify(product)


@pytest.mark.parametrize("name", [CHUNK, "record.json", "demo-0123abcd_x4.stac.json"])
def test_a_changed_file_is_named(product, name):
    flip(product / name)
    with pytest.raises(DamagedProductError, match=f"demo-0123abcd: {name} has changed since"):
        verify(product)


def test_a_file_that_nobody_listed_is_named(product):
    (product / "notes.txt").write_text("hello")
    with pytest.raises(DamagedProductError, match=r"notes.txt is not in the manifest"):
        verify(product)


def test_a_link_out_of_the_product_is_refused(product):
    (product / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(DamagedProductError, match="passwords is a link"):
        verify(product)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_manifest_that_is_none_is_said_to_be_none(product, text):
    (product / MANIFEST).write_text(text)
    with pytest.raises(DamagedProductError, match=r"MANIFEST.json (is no JSON|lists no files)"):
        verify(product)


def test_a_product_without_a_manifest_is_damaged(product):
    (product / MANIFEST).unlink()
    with pytest.raises(DamagedProductError, match=r"MANIFEST.json is missing"):
        verify(product)


def test_an_incomplete_store_is_not_published(tmp_path):
    staging, final = stage_product(tmp_path)
    (staging / CHUNK).unlink()
    with pytest.raises(DamagedProductError, match="chunk surface_temperature/c/1/0 is missing"):
        publish(staging, final, manifest_of())
    assert not final.exists()


def test_the_second_publisher_takes_the_product_of_the_first(tmp_path, product):
    run_id = read_manifest(product)["run_id"]
    staging, final = stage_product(tmp_path)
    assert publish(staging, final, manifest_of()) == product
    assert read_manifest(product)["run_id"] == run_id
    assert not staging.exists()


@pytest.mark.parametrize(
    "damage", [lambda product: flip(product / CHUNK), lambda product: (product / MANIFEST).unlink()]
)
def test_a_damaged_product_is_moved_aside_and_replaced(tmp_path, product, damage):
    damage(product)
    staging, final = stage_product(tmp_path)
    verify(publish(staging, final, manifest_of()))
    assert [name.startswith(".damaged-demo-0123abcd-") for name in hidden(tmp_path)] == [True]
    assert find_product(tmp_path, LABEL, DIGEST) == final


def test_many_threads_publish_one_product(tmp_path):
    staged = [stage_product(tmp_path) for _ in range(6)]
    together = threading.Barrier(len(staged))
    ends = []

    def run(staging, final):
        together.wait()
        ends.append(publish(staging, final, manifest_of()))

    threads = [threading.Thread(target=run, args=pair) for pair in staged]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ends) == {staged[0][1]}
    assert len(ends) == len(staged)
    verify(ends[0])
    assert hidden(tmp_path) == []


def make_and_publish(out, views):
    staging, final = stage_product(out, views=views)
    publish(staging, final, manifest_of())


@pytest.fixture(scope="module")
def children():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.products.known", "tests.products.test_publish"])
    return context


@pytest.mark.slow
def test_many_processes_publish_one_product(tmp_path, children):
    runs = [children.Process(target=make_and_publish, args=(tmp_path, False)) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0] * 4
    verify(find_product(tmp_path, LABEL, DIGEST))
    assert hidden(tmp_path) == []


MOMENTS = {
    "the first chunks": "*/*/*/.tmp-*/*.zarr/surface_temperature/c",
    "consolidation": "*/*/*/.tmp-*/*.zarr/time/c",
    "the staged GeoTIFF": "*/*/*/.tmp-*/.staged-*.tif",
    "the first GeoTIFF": "*/*/*/.tmp-*/*_x4.tif",
    "the pictures": "*/*/*/.tmp-*/*.png",
    "the record": "*/*/*/.tmp-*/record.json",
    "the manifest": "*/*/*/.tmp-*/.MANIFEST.json.*",
    "the rename": "*/*/*/.tmp-*/MANIFEST.json",
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_a_product_is_whole_or_not_there(tmp_path, children, moment):
    run = children.Process(target=make_and_publish, args=(tmp_path, True))
    run.start()
    while run.is_alive() and not any(tmp_path.glob(MOMENTS[moment])):
        time.sleep(0.0005)
    time.sleep(random.Random(moment).random() * 0.01)
    run.kill()
    run.join()
    for product in published_folders(recipe_folder(tmp_path, LABEL)):
        verify(product)  # the kill came too late: then it is whole
    make_and_publish(tmp_path, False)
    verify(find_product(tmp_path, LABEL, DIGEST))
    sweep(tmp_path, LABEL, -1)
    assert hidden(tmp_path) == []


def age(folder, seconds):
    for path in (folder, *folder.rglob("*")):
        past = time.time() - seconds
        os.utime(path, (past, past))


@pytest.mark.parametrize("acquired", ["2024-07-28T20:40:25Z", None])
def test_only_what_is_old_is_swept(tmp_path, acquired):
    final = product_folder(tmp_path, LABEL, make_enhancement(acquired=acquired).scene.ref)
    old, young = make_staging_folder(final), make_staging_folder(final)
    (old / "a").mkdir()
    (old / "a" / "chunk").write_bytes(b"1")
    age(old, 1000)
    age(young, 10)
    assert sweep(tmp_path, LABEL, 500) == [old]
    assert not old.exists()
    assert young.exists()


def test_a_long_run_that_still_writes_is_not_swept(tmp_path):
    final = product_folder(tmp_path, LABEL, make_enhancement().scene.ref)
    staging = make_staging_folder(final)
    (staging / "a.zarr").mkdir()
    age(staging, 1000)
    (staging / "a.zarr" / "chunk").write_bytes(b"1")
    assert sweep(tmp_path, LABEL, 500) == []


def test_published_products_are_never_swept(tmp_path, product):
    age(product, 10**6)
    assert sweep(tmp_path, LABEL, 0) == []
    verify(product)


def test_a_record_comes_back_as_it_was(tmp_path):
    refused = Record(
        make_enhancement().scene.ref,
        "refused",
        "no units",
        LABEL,
        figures={"valid_fraction": 0.5, "base": None},
    )
    write_record(tmp_path, LABEL, refused)
    assert read_records(tmp_path, LABEL) == [refused]


def test_the_record_inside_a_product_comes_back_without_its_provenance(tmp_path, product):
    assert read_record(product) == make_record(make_enhancement(), product, tmp_path)
    assert "provenance" in json.loads((product / "record.json").read_text())


def test_a_record_of_a_product_stays_inside_it(tmp_path, product):
    with pytest.raises(ValueError, match="its record belongs into its product"):
        write_record(tmp_path, LABEL, read_record(product))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ref": 1}'])
def test_one_bad_record_does_not_hide_the_others(tmp_path, text, caplog):
    good = Record(make_enhancement().scene.ref, "skipped", "too few pixels", LABEL)
    write_record(tmp_path, LABEL, good)
    record_path(tmp_path, LABEL, "bad-00000000").write_text(text)
    assert read_records(tmp_path, LABEL) == [good]
    assert "bad-00000000.json: no record of a scene" in caplog.text


def test_a_product_can_be_moved_to_another_place(tmp_path, product):
    verify(shutil.move(product, tmp_path / "elsewhere"))
