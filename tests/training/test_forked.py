import os
import subprocess
import sys
from pathlib import Path

import pytest

from honeyguide.sdk.errors import FailedPrecondition
from honeyguide.training.forked import check_not_forked, first_process


def test_the_process_that_opened_the_first_data_set_works_on() -> None:
    first_process()
    check_not_forked()


def test_another_process_than_the_first_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first_process()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(FailedPrecondition, match=r'forked.*get_context\("spawn"\)'):
        check_not_forked()


def test_a_forked_child_is_told_instead_of_hanging(tmp_path: Path) -> None:
    program = f"""
import os, warnings
from honeyguide import training
log = {str(tmp_path / "log.csv")!r}
open(log, "w").write("user_id,item_id\\n" + "".join(f"u{{u}},i{{(u + i) % 9}}\\n" for u in range(9) for i in range(5)))
data = training.prepare(log, out={str(tmp_path / "data")!r})
warnings.simplefilter("ignore")  # Python 3.12 warns of threads
if not os.fork():
    for given in (data, {str(tmp_path / "data")!r}):
        try:
            training.train("cf", given, out={str(tmp_path / "run")!r})
        except Exception as error:
            print(type(error).__name__, flush=True)
    os._exit(0)
os.wait()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["FailedPrecondition"] * 2
    assert not (tmp_path / "run").exists()
