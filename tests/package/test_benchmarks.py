"""Every benchmark still runs: on a handful of tiny images, which show nothing but that."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small import small_model

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))


def run(script: str, results: Path) -> dict[str, dict]:
    """The results of a quick run, by name of their file."""
    environment = {**os.environ, "QUICK": "1", "RESULTS": str(results), "OMP_NUM_THREADS": "1",
                   "OMP_WAIT_POLICY": "passive",
                   "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-W", "ignore", ROOT / "benchmarks" / script],
                          env=environment, cwd=results, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return {file.stem: json.loads(file.read_text()) for file in results.glob("*.json")}


def test_every_benchmark_runs_and_says_on_what(tmp_path):
    for library in ("fastai", "pytorch_lightning", "sklearn"):
        pytest.importorskip(library)
    import run_all
    results = run("run_all.py", tmp_path)
    assert results.keys() == set(run_all.NAMES) - {"scrubbing"}
    for content in results.values():
        assert content["question"].endswith("?") and content["values"] and content["quick"]
        assert content["machine"]["cores"] and content["versions"]["torch"]
        assert all(row["min"] <= row["median"] <= row["max"] for row in content["values"])


def test_the_gpus_benchmark_tries_itself_on_the_cpu(tmp_path):
    content = run("gpu.py", tmp_path)["gpu_on_cpu"]
    assert "errors" not in content and content["lessons that failed"] == {}
    found = [row["what"] for row in content["ratios"]]
    assert any("waits per training step" in what for what in found)


def test_the_page_asks_for_rows_that_the_benchmarks_write():
    """Names of rows and sides are written twice, there and in page.py: here they meet."""
    import page
    for question in page.QUESTIONS:
        source = (ROOT / "benchmarks" / f"{question.file}.py").read_text()
        for side in (question.ours, *question.theirs):
            assert f'"{side}"' in source, f"{question.file}.py has no side {side!r}"


def test_words_for_a_ratio():
    import page
    def compare(ours: float, theirs: float, unit: str = "s") -> str:
        sides = [{"median": value, "min": value, "max": value, "unit": unit}
                 for value in (ours, theirs)]
        return page.Comparison("", "", *sides).words
    assert compare(1, 3) == "3.0 times as fast" and compare(1, 100) == "100 times as fast"
    assert compare(1, 1.05) == compare(1.05, 1) == "as fast"
    assert compare(3, 1) == "3.0 times as long" and compare(1, 1, "MB") == "as much"


# Learning rate rules

def test_the_study_of_rules_runs_and_goes_on_where_it_was_stopped(tmp_path):
    content = run("rules.py", tmp_path)["rules"]
    assert content["question"].endswith("?") and content["quick"] and content["command"] == "make rules"
    assert content["cases"] == content["planned"] > 0 and content["machine"]["cores"]
    assert {row["rule"] for row in content["tables"]["chosen on"]} >= {"valley", "steep", "3e-3"}
    first, *others = sorted((tmp_path / "rules").glob("*.json"))
    before = {file: file.stat().st_mtime_ns for file in others}
    row = json.loads(first.read_text())
    first.unlink()
    run("rules.py", tmp_path)
    assert before == {file: file.stat().st_mtime_ns for file in others}, "finished cases stay"
    again = json.loads(first.read_text())
    assert {name: row[name] for name in ("data", "body", "head", "bs", "seed", "n", "grid")} == {
        name: again[name] for name in ("data", "body", "head", "bs", "seed", "n", "grid")}


def test_heads_of_the_study_train_as_in_a_sweep(small_learner):
    import rules

    from transfer_lessons.backbones import create_head
    from transfer_lessons.losses import cross_entropy
    from transfer_lessons.sweep import sweep_lrs
    for hidden in (None, 8):
        model = small_model()
        model[1] = create_head(6, 3, hidden=hidden)
        learn = small_learner(model)
        learn.freeze()
        learn = learn.precompute()
        swept = sweep_lrs(learn, [1e-3, 1e-1], rules.EPOCHS, suggest_funcs=())
        train = rules.logits_together if hidden is None else rules.logits_alone
        options = {} if hidden is None else {"whole": False}
        logits = train(learn, swept.lrs, **options)
        targets = learn.get_logits()[1]
        losses = [float(cross_entropy(one, targets)) for one in logits]
        assert losses == pytest.approx(swept.valid_loss.tolist(), abs=1e-4)


def test_the_halves_of_the_held_out_images_share_none():
    import rules
    chooses, judges = rules.halves(11, seed=3)
    assert sorted([*chooses.tolist(), *judges.tolist()]) == list(range(11))


def test_the_page_of_rules_shows_the_stored_result():
    import page
    import rules_page
    content = json.loads(rules_page.RESULT.read_text())
    text = rules_page.section(content)
    assert f"{content['trainings']:,} times" in text
    cells = json.loads(page.INDEX.read_text(encoding="utf-8"))["cells"]
    assert [text] == ["".join(cell["source"]) for cell in cells if cell["id"] == rules_page.CELL]
    assert rules_page.draw(content) == rules_page.PLOT.read_text()
