"""The page: one file, no network, everything from the data escaped."""

import re

import pytest

from thresher.errors import ResultsError, StoreError
from thresher.report import page

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>"


def without_library(path):
    """The page's own part: plotly.js is third-party text in the first script."""
    text = path.read_text()
    start = text.index("<script>")
    return text[:start] + text[text.index("</script>", start) :]


def test_a_run_s_page_opens_with_the_verdict_and_holds_figures_table_and_receipts(tmp_path, run_folder):
    out = page.write(run_folder(tmp_path / "run"), tmp_path / "page.html")
    text = without_library(out)
    assert "bm25 was worth it for svamp" in text
    assert "certainly beat random on gsm8k" in text or "Nothing beat random on gsm8k" in text
    assert text.index("was worth it") < text.index("plotly-graph-div")
    assert text.count("plotly-graph-div") >= 3
    assert "on the frontier" in text
    assert "4.00e14" in text
    assert "thresher run recipes/math_small.yaml" in text
    assert "3 min 04 s" in text


def test_a_selection_s_page_shows_cost_mix_scores_and_reasons(tmp_path, selection_folder):
    out = page.write(selection_folder(tmp_path / "sel"))
    text = without_library(out)
    assert out.name == "report.html"
    assert "80 of 400 rows" in text
    assert "unspent" in text
    assert text.count("plotly-graph-div") >= 3
    assert text.count("Tom has 3 apples") == 50
    assert text.count("<tr>") == 50 + 20 + 2


@pytest.mark.parametrize("make", ["run_folder", "selection_folder"])
def test_nothing_from_the_data_becomes_markup(tmp_path, make, request):
    text = without_library(page.write(request.getfixturevalue(make)(tmp_path / "f", evil=EVIL)))
    assert EVIL not in text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert" in text, "it is shown, not hidden"


def test_the_page_loads_nothing_from_anywhere(tmp_path, run_folder):
    text = without_library(page.write(run_folder(tmp_path / "run")))
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", text)
    assert "@import" not in text
    assert "url(" not in text


def test_a_folder_that_is_neither_is_refused(tmp_path):
    with pytest.raises(StoreError, match="neither results.parquet"):
        page.write(tmp_path)


def test_a_run_without_its_frontier_says_what_to_do_and_takes_it_from_the_caller(tmp_path, run_folder):
    folder = run_folder(tmp_path / "run")
    (folder / "frontier.json").unlink()
    with pytest.raises(ResultsError, match="no frontier.json"):
        page.write(folder)
    assert page.write(folder, frontier={"panels": []}).is_file()


def test_a_broken_card_is_named(tmp_path, selection_folder):
    folder = selection_folder(tmp_path / "sel")
    (folder / "card.json").write_text('{"method": ')
    with pytest.raises(StoreError, match="card.json cannot be read"):
        page.write(folder)
