"""The page of a night in a real browser: counts add up, words stay words, ten thousand rows stay usable."""

from datetime import UTC, datetime

import pytest

from pipeline.figures import GAIN, SKILL
from pipeline.nights.night import Plan
from pipeline.nights.pages import night_page as night_page_module
from pipeline.nights.pages.night_page import night_page, write_night_page
from pipeline.nights.report import make_report, write_report
from pipeline.output_settings import OutputSettings
from pipeline.products.publish import publish
from pipeline.scene import Record, SceneRef
from pipeline.settings import Settings
from tests.browser import needs_browser, open_page
from tests.products.known import make_enhancement, manifest_of, stage_product

HOSTILE = "<script>document.title='taken'</script> \"quoted\" \u202egnp"


def record(name, status="done", reason="", product="", **figures):
    ref = SceneRef(name, "npz", (f"{name}.npz",), "0" * 64)
    return Record(ref, status, reason, "prior-x4-0123abcd", product, figures, {"write": 2.0})


def report_of(records, plan=None, **facts):
    started = datetime(2026, 8, 1, tzinfo=UTC)
    plan = plan or Plan(todo=tuple(one.ref for one in records))
    return make_report("20260801T000000Z-ab12", started, Settings(), plan=plan, records=records, **facts)


def publish_one(out):
    enhancement = make_enhancement()
    staging, final = stage_product(out, enhancement, views=True)
    publish(staging, final, manifest_of(enhancement))
    return final.relative_to(out).as_posix()


@needs_browser
def test_every_input_is_on_the_page_with_its_outcome_and_what_to_do(tmp_path):
    out = tmp_path / "out"
    product = publish_one(out)
    records = [
        record("demo-0123abcd", product=product, gain=0.75, selftest_skill_vs_base=0.031),
        record("bad-11111111", "refused", f"no unit {HOSTILE}"),
        record("broken-22222222", "failed", "RuntimeError: out of memory"),
    ]
    duplicate, left_out = ("/a/copy.tif", "/a/new.tif"), ("/a/old.tif", "acquired 2020-01-01")
    plan = Plan(todo=tuple(one.ref for one in records), duplicates=(duplicate,), left_out=(left_out,))
    settings = Settings(output=OutputSettings(root=out))
    report = report_of(records, plan) | {"recipe": product.split("/")[0]}
    path = write_report(report, settings)
    page = path.with_suffix(".html")
    assert (path.parent / "index.html").read_bytes() == page.read_bytes()
    with open_page(page) as browser:
        assert (
            "5 found: 1 done + 1 refused + 1 failed + 1 duplicates + 1 left out = 5"
            in browser.locator("#sum").inner_text()
        )
        assert browser.title() == "Night 20260801T000000Z-ab12"
        meanings = browser.locator("#meanings").inner_text()
        assert meanings == f"gain: {GAIN.meaning} self-test over the base: {SKILL.meaning}"
        hand = browser.locator("#hand").inner_text()
        assert "<script>document.title" in hand
        assert "thermal-sr redo out broken-22222222" in hand
        assert browser.locator("#rows tr").count() == 5
        assert browser.locator("#rows img").count() == 1
        link = browser.locator("#rows a").get_attribute("href")
        assert (page.parent / link).resolve() == (out / product / "view.html").resolve()
        assert (page.parent / link).is_file()
        assert browser.locator("#map rect").count() == 1
        browser.set_viewport_size({"width": 390, "height": 800})
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390  # the table scrolls by itself
        browser.locator("#outcome").select_option("failed")
        assert "broken" in browser.locator("#rows").inner_text()
        assert browser.locator("#rows tr").count() == 1
        browser.locator("#outcome").select_option("")
        browser.locator("#words").fill("copy.TIF")
        assert browser.locator("#rows tr").count() == 1


@needs_browser
def test_ten_thousand_scenes_are_shown_in_pages_and_sorted(tmp_path):
    records = [record(f"scene{k:05d}-00000000", gain=(k * 37 % 10_000) / 10_000) for k in range(10_000)]
    path = tmp_path / "night.html"
    path.write_text(night_page(report_of(records), tmp_path), encoding="utf-8")
    assert path.stat().st_size < 4_000_000
    with open_page(path) as browser:
        assert browser.locator("#where").inner_text() == "1 to 200 of 10000"
        browser.locator("#after").click()
        assert browser.locator("#where").inner_text() == "201 to 400 of 10000"
        browser.get_by_role("button", name="gain").click()
        browser.get_by_role("button", name="gain").click()
        first = browser.locator("#rows tr").first.inner_text()
        assert "1.00" in first
        assert browser.locator("th[aria-sort=descending]").inner_text() == "gain"


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_audit_of_accessibility_finds_nothing(tmp_path, scheme):
    from axe_playwright_python.sync_playwright import Axe

    out = tmp_path / "out"
    records = [record("demo-0123abcd", product=publish_one(out)), record("b-22222222", "failed", "why")]
    path = tmp_path / "night.html"
    path.write_text(night_page(report_of(records), out), encoding="utf-8")
    with open_page(path, scheme=scheme, checked=False) as browser:
        found = Axe().run(browser).response["violations"]
    assert [(one["id"], one["impact"]) for one in found] == []


def test_the_index_stays_with_the_newest_night(tmp_path):
    newer = report_of([]) | {"run_id": "20260802T000000Z-ab12"}
    older = report_of([])
    write_night_page(newer, tmp_path, tmp_path)
    write_night_page(older, tmp_path, tmp_path)
    assert (tmp_path / "index.html").read_bytes() == (
        tmp_path / "night-20260802T000000Z-ab12.html"
    ).read_bytes()
    assert (tmp_path / "night-20260801T000000Z-ab12.html").is_file()


def test_a_damaged_product_only_loses_its_place_on_the_map(tmp_path):
    folder = tmp_path / "prior-x4-0123abcd/undated/demo-0123abcd"
    folder.mkdir(parents=True)
    (folder / "demo.stac.json").write_text("{not json")
    (folder / "enhanced_turbo.png").write_bytes(b"no picture")
    page = night_page(
        report_of([record("demo-0123abcd", product=folder.relative_to(tmp_path).as_posix())]), tmp_path
    )
    assert '"demo-0123abcd"' in page


def test_of_what_a_night_left_alone_a_page_lists_so_many_and_says_where_the_rest_is(tmp_path, monkeypatch):
    monkeypatch.setattr(night_page_module, "MOST_ROWS", 2)
    copies = tuple((f"/a/copy_{number}.tif", "/a/new.tif") for number in range(5))
    report = report_of([record("demo-0123abcd")], Plan(todo=(), duplicates=copies))
    page = night_page(report, tmp_path)
    assert page.count("copy_") == 2
    assert "and 3 more" in page
    assert "listed in night-20260801T000000Z-ab12.json" in page
