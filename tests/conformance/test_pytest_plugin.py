"""Runs pytest in a project of its own, where plugins are installed that are sound, wrong and broken."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow(8)

WRONG = Path(__file__).parent / "wrong"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with one test, and a distribution that offers the wrong models and a plugin that does not load."""
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    info = tmp_path / "installed" / "wrong-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[honeyguide.plugins]\nlost = no_such_module\nwrong = wrong_models\n")
    return tmp_path


def run(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = [str(project / "installed"), str(WRONG)]
    program = f"import sys; sys.path[:0] = {path}; import pytest; sys.exit(pytest.console_main())"
    command = [sys.executable, "-c", program, "-p", "no:cacheprovider", "-rs", "-v", *words]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300)


def test_without_the_option_nothing_is_added(project: Path) -> None:
    done = run(project)
    assert done.returncode == 0
    assert "1 passed" in done.stdout


def test_one_model_gets_a_test_for_each_check(project: Path) -> None:
    done = run(project, "--honeyguide-plugins=nan_for_short", "-k", "arrays or finite or explanations")
    assert done.returncode == 1
    assert "--honeyguide-plugins=nan_for_short::arrays_match_the_signature PASSED" in done.stdout
    assert "--honeyguide-plugins=nan_for_short::scores_are_finite FAILED" in done.stdout
    assert "gives scores that are not finite for a history of one event" in done.stdout
    assert "its network does not explain" in done.stdout
    assert "Traceback" not in done.stdout


def test_all_models_are_checked_and_a_broken_plugin_fails(project: Path) -> None:
    done = run(project, "--honeyguide-plugins", "-k", "plugin_loads or options_come")
    assert done.returncode == 1
    assert "--honeyguide-plugins=lost::plugin_loads FAILED" in done.stdout
    assert "plugin 'lost' did not load: ModuleNotFoundError: No module named 'no_such_module'" in done.stdout
    for model in ("cf", "sound", "batch_mates"):
        assert f"--honeyguide-plugins={model}::options_come_back_from_json PASSED" in done.stdout


def test_an_unknown_model_is_wrong_usage(project: Path) -> None:
    done = run(project, "--honeyguide-plugins=other")
    assert done.returncode == 4
    assert "no installed plugin offers model 'other'; there are: adds_up, attention_lstm" in done.stderr
