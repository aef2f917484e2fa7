"""The results table: what is read is what was written, and what is wrong is named."""

import pyarrow.parquet as pq
import pytest

from thresher.errors import ResultsError
from thresher.planning import results

HEAD = "method,model,task,metric,fraction,seed,score,selection_flops,training_flops"


def table(tmp_path, *lines, head=HEAD, name="t.csv"):
    path = tmp_path / name
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_written_tables_read_back_the_same_from_both_files(tmp_path):
    runs = [
        results.Run(method="bm25", model="m", task="t", metric="loss", score=0.1 + 0.2, selection_flops=0.0,
                    training_flops=1e15, rows=10, seed=3, pool="p", budget="5%"),
        results.Run(method="zero-shot", model="m", task="t", metric="loss", score=2.0, selection_flops=0.0,
                    training_flops=0.0),
    ]  # fmt: skip
    results.write(runs, tmp_path)
    assert results.read(tmp_path / "results.csv").runs == tuple(runs)
    assert results.read(tmp_path / "results.parquet").runs == tuple(runs)
    names = pq.read_schema(tmp_path / "results.parquet").names
    assert names == [*results.COLUMNS, "pool", "budget"]


def test_a_table_without_pool_has_exactly_the_contract_columns(tmp_path):
    line = {"method": "a", "model": "m", "task": "t", "metric": "", "score": 1, "selection_flops": 0,
            "training_flops": 5, "rows": 2}  # fmt: skip
    results.write([line], tmp_path)
    assert tuple(pq.read_schema(tmp_path / "results.parquet").names) == results.COLUMNS


def test_the_same_line_in_two_files_counts_once(tmp_path):
    first = table(tmp_path, "a,m,t,acc,0.1,0,50,0,1e15")
    second = table(tmp_path, "a,m,t,acc,0.1,0,50,0,1e15", "a,m,t,acc,0.1,1,51,0,1e15", name="u.csv")
    assert len(results.read([first, second])) == 2


def test_panels_never_mix_tasks_metrics_models_or_pools(tmp_path):
    path = table(tmp_path, "a,m,t,acc,0.1,0,50,0,1", "a,m,t,loss,0.1,0,2,0,1", "a,n,t,acc,0.1,0,50,0,1")
    assert [(p.task, p.metric, p.model) for p in results.read(path).panels()] == [
        ("t", "acc", "m"),
        ("t", "loss", "m"),
        ("t", "acc", "n"),
    ]


@pytest.mark.parametrize(
    ("metric", "higher"),
    [("accuracy", True), ("exact_match", True), ("answer_loss", False), ("Perplexity", False), ("new", True)],
)
def test_losses_are_better_low(metric, higher):
    assert results.higher_is_better(metric) is higher


def test_a_missing_column_is_named_with_what_is_there(tmp_path):
    path = table(tmp_path, "a,m,t,50,1", head="method,model,task,score,training_flops")
    with pytest.raises(
        ResultsError, match=r"lacks the columns metric, selection_flops, fraction or rows.*It has: meth"
    ):
        results.read(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a,m,t,acc,0.1,0,fifty,0,1", "line 2: score is 'fifty', which is not a number"),
        ("a,m,t,acc,0.1,0,nan,0,1", "line 2: score is nan"),
        ("a,m,t,acc,0.1,0,,0,1", "line 2: score is empty"),
        ("a,m,t,acc,0.1,0.5,50,0,1", "seed is 0.5, which is not a whole number"),
        ("a,m,t,acc,5,0,50,0,1", "share: 0.05 for 5 %"),
        ("a,m,t,acc,0.1,0,50,-1,1", "selection_flops is -1.0; it cannot be negative"),
        ("a,m,t,acc,,0,50,0,1", "neither fraction nor rows"),
        ("a,m,t,acc", "not as many cells"),
        ("a,m,t,acc,0.1,0,50,0,1,9", "not as many cells"),
    ],
)
def test_a_bad_cell_is_named_with_its_line(tmp_path, line, words):
    with pytest.raises(ResultsError, match=words):
        results.read(table(tmp_path, line))


def test_a_total_that_is_not_the_sum_is_refused(tmp_path):
    path = table(tmp_path, "a,m,t,acc,0.1,0,50,1,1,3", head=HEAD + ",total_flops")
    with pytest.raises(ResultsError, match="total_flops is 3, but selection and training give 2"):
        results.read(path)


def test_files_that_are_no_tables_are_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"no")
    (tmp_path / "x.txt").write_text("no")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    for name, words in (("x.parquet", "cannot be read"), ("x.txt", "ends in .txt"), ("b.csv", "cannot be"),
                        ("none.csv", "There is no results table")):  # fmt: skip
        with pytest.raises(ResultsError, match=words):
            results.read(tmp_path / name)
    with pytest.raises(ResultsError, match="no line below"):
        results.read(table(tmp_path))
