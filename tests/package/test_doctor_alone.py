"""`transfer-lessons doctor` in a process of its own, where a home folder and a network are missing."""
import os
import subprocess
import sys

import pytest


@pytest.fixture
def bare(tmp_path):
    """The environment of somebody whose home is a file, and whose proxy does not reply."""
    home = tmp_path / "home"
    home.write_text("")
    ours = {name: value for name, value in os.environ.items()
            if not name.startswith("XDG_") and name.lower() not in ("no_proxy", "transfer_lessons_progress")}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return {**ours, **proxies, "HOME": str(home), "MPLCONFIGDIR": str(tmp_path)}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere HOME alone does not say where files go")
@pytest.mark.case("doctor: no home, no network", "both said with what mends them; mended, the exit status is 0")
def test_without_home_and_network_it_says_what_to_do_and_that_helps(bare, tmp_path):
    def doctor(**variables):
        return subprocess.run([sys.executable, "-m", "transfer_lessons.cli", "doctor"], cwd=tmp_path,
                              env={**bare, **variables}, capture_output=True, text=True, timeout=300)
    said = doctor()
    assert said.returncode == 1 and "Traceback" not in said.stderr
    exports = [line.split()[1] for line in said.stdout.splitlines() if line.strip().startswith("export ")]
    assert "2 things are missing" in said.stdout and "no reply from huggingface.co" in said.stdout
    mended = doctor(**{name: value.strip('"') for name, value in (export.split("=", 1) for export in exports)})
    assert mended.returncode == 0, mended.stdout
    assert "no reply" in mended.stdout
