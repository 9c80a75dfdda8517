"""The comparison of recipes: what it splits, how it goes on, what it concludes, and that all of it runs."""
import random
from collections import Counter

import pytest
from test_benchmarks import ROOT, run  # it puts benchmarks/ on the path

pytest.importorskip("fastai")

import recipe_page  # noqa: E402
import recipe_picture  # noqa: E402
import recipe_summary  # noqa: E402
import recipe_tasks  # noqa: E402
import recipes  # noqa: E402
from recipe_list import MAIN, RECIPES  # noqa: E402


def drawn_labels(n: int = 400) -> tuple[list[str], list[bytes]]:
    """Labels of three classes, and digests of contents of which every tenth is there twice."""
    source = random.Random(0)
    labels = [source.choice("aabbc") for _ in range(n)]
    digests = [source.randbytes(32) for _ in range(n)]
    for i in range(0, n - 1, 10):
        labels[i + 1], digests[i + 1] = labels[i], digests[i]
    return labels, digests


def test_no_image_and_no_copy_of_one_is_in_two_parts_of_a_split():
    labels, digests = drawn_labels()
    for per_class in (8, 32, None):
        for seed in range(5):
            parts = recipe_tasks.split(labels, digests, per_class, seed)
            contents = [{digests[i] for i in part} for part in parts]
            assert not contents[0] & contents[1] and not contents[2] & (contents[0] | contents[1])
            assert parts == recipe_tasks.split(labels, digests, per_class, seed)


def test_sizes_share_their_test_images_and_a_smaller_one_is_part_of_a_larger():
    labels, digests = drawn_labels()
    few, more, whole = (recipe_tasks.split(labels, digests, n, 0) for n in (8, 32, None))
    assert few.test == more.test == whole.test
    assert set(few.train) < set(more.train) < set(whole.train)
    assert set(few.valid) < set(more.valid) <= set(whole.valid)
    assert few.test != recipe_tasks.split(labels, digests, 8, seed=1).test
    assert Counter(labels[i] for i in few.train) == {"a": 8, "b": 8, "c": 8}
    assert Counter(labels[i] for i in few.valid) == {"a": 3, "b": 3, "c": 3}


def test_a_quarter_is_for_testing_and_never_more_than_the_most():
    labels, digests = drawn_labels()
    assert abs(len(recipe_tasks.split(labels, digests, None, 0).test) - 100) <= 3
    labels, digests = drawn_labels(4000)
    assert abs(len(recipe_tasks.split(labels, digests, None, 0).test) - recipe_tasks.MAX_TEST) <= 3


def line(run: recipes.Run, error: float = 0.5, seconds: float | None = 1.0) -> dict:
    return {**run._asdict(), "error": error, "loss": 1.0, "seconds": seconds}


def test_a_benchmark_that_was_stopped_goes_on_and_a_failure_stops_nothing(tmp_path, monkeypatch):
    runs = [recipes.Run("fastai", "icons", 8, seed) for seed in range(5)]
    lines = tmp_path / "runs" / "recipes.jsonl"
    began = []

    def do(run: recipes.Run, device: str) -> dict:
        began.append(run.seed)
        if run.seed == 1:
            raise ValueError("not today")
        if run.seed == 3 and began.count(3) == 1:
            raise KeyboardInterrupt
        return line(run)

    monkeypatch.setattr(recipes, "do", do)
    with pytest.raises(KeyboardInterrupt):
        recipes.do_all(runs, lines, workers=1)
    assert [row["seed"] for row in recipes.finished(lines)] == [0, 2]
    with lines.open("a") as file:
        file.write('{"recipe": "fastai", "da')  # the power went
    recipes.do_all(runs, lines, workers=1)
    assert began == [0, 1, 2, 3, 1, 3, 4]
    assert [row["seed"] for row in recipes.finished(lines)] == [0, 2, 3, 4]


def test_of_a_run_that_was_done_twice_the_last_error_counts_and_the_last_time_there_is():
    run = recipes.Run("ours", "icons", 8, 0)
    timed, untimed = line(run, 0.4, seconds=3.0), line(run, 0.2, seconds=None)
    for rows, error in (([timed, untimed], 0.2), ([untimed, timed], 0.4)):
        [row] = recipes.merge(rows).values()
        assert (row["error"], row["seconds"]) == (error, 3.0)
    pairs = [(line(run, seconds=None), line(run, seconds=2.0))]
    assert recipe_summary.times_as_long(pairs) is None
    assert recipe_summary.times_as_long([*pairs, (timed, line(run, seconds=6.0))]) == 0.5


def test_the_summary_is_what_a_hand_computes():
    # ours - fastai: -0.1, -0.2, -0.3 with 8 images, -0.3, -0.2, -0.1 with all of them.
    rows = []
    for per_class, gaps in ((8, (0.1, 0.2, 0.3)), (None, (0.3, 0.2, 0.1))):
        for seed, gap in enumerate(gaps):
            rows.append(line(recipes.Run("fastai", "icons", per_class, seed), 0.5, seconds=4.0))
            rows.append(line(recipes.Run("ours", "icons", per_class, seed), 0.5 - gap, seconds=1.0))
    found = recipe_summary.summary(rows, (0, 1), (2,))
    cell = next(row for row in found["cells"] if row["recipe"] == "ours" and row["per_class"] == 8)
    [difference] = cell["differences"]
    # Standard deviation 0.1, three seeds: 4.303 * 0.1 / sqrt(3) = 0.2484 to either side.
    assert difference == {"against": "fastai", "mean": -0.2, "low": -0.4484, "high": 0.0484,
                          "n": 3, "times_as_long": 0.25}
    assert cell["error"]["mean"] == 0.3 and (cell["least"], cell["most"]) == (0.2, 0.4)
    overall = {row["which"]: row for row in found["overall"] if row["recipe"] == "ours"}
    # Over cells every seed gains 0.2, so the interval over three seeds has no width.
    assert overall["all"]["interval_over"] == "seeds" and overall["all"]["verdict"] == "gained"
    assert [overall["all"][name] for name in ("mean", "low", "high")] == [-0.2] * 3
    # Two seeds: -0.1, -0.2, -0.3, -0.2; standard deviation 0.0816, 3.182 * 0.0816 / 2 = 0.1299.
    assert overall["chosen on"]["interval_over"] == "runs"
    assert (overall["chosen on"]["low"], overall["chosen on"]["high"]) == (-0.3299, -0.0701)
    assert overall["judged on"]["n"] == 2 and overall["judged on"]["verdict"] == "not run often enough"


def test_students_t_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for freedom, t in enumerate(recipe_summary.T_95, start=1):
        assert t == pytest.approx(stats.t.ppf(0.975, freedom), abs=6e-4)


def example() -> dict:
    """A result as the benchmark writes it, of errors that were thought up."""
    rows = [line(recipes.Run(recipe, data, per_class, seed), 0.2 + 0.1 * number + 0.01 * seed)
            for number, recipe in enumerate(MAIN) for data, sizes in recipe_tasks.SIZES.items()
            for per_class in sizes for seed in range(5)]
    return {"question": "Which?", "command": "make recipes", "quick": False, "runs": rows, "planned": 400,
            "chosen_on": [0, 1], "judged_on": [2, 3, 4], "recipes": recipes.descriptions(),
            "machine": {"cpu": "a processor", "date": "today"},
            "versions": {"python": "3", "torch": "2", "fastai": "2"},
            **recipe_summary.summary(rows, (0, 1), (2, 3, 4))}


def test_page_table_and_picture_show_every_data_set():
    content = example()
    text, table, picture = recipe_page.section(content), recipe_page.table(content), recipe_picture.draw(content)
    assert "../images/recipes.svg" in text and "eight images per class 42 % against 22 % on icons" in text
    assert f"{sum(map(len, recipe_tasks.SIZES.values()))} pairs of data set and size, that is 20.0 points more errors (95 % interval 20.0 to 20.0)" in text
    tie = {"mean": -0.01, "low": -0.03, "high": 0.01}
    assert recipe_page.difference_words(tie) == "a tie, -1.0 points (95 % interval -3.0 to +1.0)"
    for name in recipe_picture.NAMES.values():
        assert name in text and name in table and name in picture
    assert table.count("\n| 8 of icons |") == len(MAIN)


def test_readme_says_what_was_measured():
    text = recipe_page.section(recipe_page.read_result())
    assert text.replace("../", "") in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_recipe_runs_in_a_process_of_its_own(tmp_path):
    content = run("recipes.py", tmp_path)["recipes"]
    assert content["quick"] and content["machine"]["cores"] and content["versions"]["fastai"]
    assert {row["recipe"] for row in content["runs"]} == set(RECIPES)
    for row in content["runs"]:
        assert 0 <= row["error"] <= 1 and row["n_wrong"] <= row["n_test"] and row["stages"]
    assert len((tmp_path / "recipes.jsonl").read_text().split("\n")) > len(content["runs"])
    assert content["cells"] and content["overall"] and content["variants"]
