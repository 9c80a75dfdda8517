"""Write the tables of nbs/for_teachers.ipynb from the lessons and their exercises (`make export`)."""
import importlib
import json
import re

from house import LIBRARY, ROOT
from minutes import reading_time

PAGE = ROOT / "nbs" / "for_teachers.ipynb"
LESSONS = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))


def parts(lesson: str) -> tuple[list, list]:
    """Exercises and questions of a lesson, by its name without the number."""
    if not (LIBRARY / "exercises" / f"{lesson}.py").exists():
        return [], []
    module = importlib.import_module(f"transfer_lessons.exercises.{lesson}")
    return list(getattr(module, "EXERCISES", [])), list(getattr(module, "QUESTIONS", []))


def lesson_table() -> str:
    """A row per lesson: minutes, what it refers back to, how many exercises and questions."""
    rows = ["| | lesson | minutes to read | refers back to | exercises | questions |",
            "| --- | --- | --- | --- | --- | --- |"]
    total = 0
    for file in LESSONS:
        number, name = file.stem.split("_", 1)
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        title = re.search(r"^# (.+)$", text, re.M)[1]
        earlier = sorted({int(n) for n in re.findall(r"\]\((\d\d)_\w+\.ipynb", text) if n < number})
        minutes = reading_time(file)[2]
        total += minutes
        exercises, questions = parts(name)
        rows.append(f"| {int(number)} | [{title}]({file.name}) | {minutes} | "
                    f"{', '.join(map(str, earlier))} | {len(exercises) or ''} | "
                    f"{len(questions) or ''} |")
    rows.append(f"| | together | {total // 60} h {total % 60} min | | | |")
    return "\n".join(rows)


def exercise_table() -> str:
    """A row per exercise: its name, which idea it tests, which wrong answers it explains."""
    rows = ["| exercise | idea | wrong answers that it explains |",
            "| --- | --- | --- |"]
    for file in LESSONS:
        number, lesson = file.stem.split("_", 1)
        for exercise in parts(lesson)[0]:
            mistakes = "; ".join(wrong.name for wrong in exercise.wrong)
            cells = [f"[{int(number)}]({file.name}) `{lesson}.{exercise.name}`", exercise.idea, mistakes]
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def with_tables(notebook: dict) -> dict:
    """The page with its tables as they are now: the cells whose ids name them."""
    tables = {"lesson-table": lesson_table(), "exercise-table": exercise_table()}
    for cell in notebook["cells"]:
        if cell["id"] in tables:
            cell["source"] = tables[cell["id"]].splitlines(keepends=True)
    return notebook


if __name__ == "__main__":
    page = with_tables(json.loads(PAGE.read_text(encoding="utf-8")))
    PAGE.write_text(json.dumps(page, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"for_teachers.ipynb lists {exercise_table().count(chr(10)) - 1} exercises")
