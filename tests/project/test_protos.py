"""Guards API v1: what is released never breaks, every error reason is in its enum, and other languages can use it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from honeyguide.oip.v2 import inference_pb2
from honeyguide.sdk import errors
from honeyguide.v1 import errors_pb2, event_service_pb2, history_pb2, model_service_pb2, recommender_service_pb2

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
BIN = Path(sys.executable).parent
FILES = [m.DESCRIPTOR for m in (errors_pb2, event_service_pb2, history_pb2, model_service_pb2, recommender_service_pb2)]


def buf(folder, *arguments):
    path = str(BIN) + os.pathsep + os.environ["PATH"]
    return subprocess.run(
        [BIN / "buf", *arguments], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )


@pytest.fixture
def changed(tmp_path):
    """Copies the protos, replaces a text in one of them, and asks whether that breaks what is released."""

    def ask(file, old, new):
        shutil.copytree(PROTOS, tmp_path / "protos", ignore=shutil.ignore_patterns("*.py*", "__pycache__"))
        path = tmp_path / "protos" / "honeyguide" / "v1" / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        recipe = re.search(r"buf (breaking .*)", (ROOT / "Makefile").read_text()).group(1)
        return buf(tmp_path / "protos", *recipe.split())

    return ask


def test_protos_break_nothing_that_is_released():
    done = buf(PROTOS, "breaking", "--against", "v1.binpb")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_removed_field_breaks(changed):
    done = changed("recommender_service.proto", "  string title = 2;\n", "")
    assert done.returncode == 100
    assert 'Previously present field "2" with name "title" on message "BecauseItem" was deleted' in done.stdout


def test_renumbered_field_breaks(changed):
    done = changed("event_service.proto", "int64 deleted_events = 1;", "int64 deleted_events = 2;")
    assert done.returncode == 100
    assert "deleted_events" in done.stdout


def test_renamed_field_breaks(changed):
    done = changed("event_service.proto", "int64 deleted_events = 1;", "int64 event_count = 1;")
    assert done.returncode == 100
    assert "deleted_events" in done.stdout


def test_removed_reason_breaks(changed):
    done = changed("errors.proto", "  ERROR_REASON_NOTHING_SERVED = 24;\n", "")
    assert done.returncode == 100
    assert 'enum value "24" on enum "ErrorReason" was deleted' in done.stdout


def test_added_field_is_free(changed):
    added = "int64 deleted_events = 1;\n  // When, in milliseconds since 1970-01-01 UTC.\n  int64 delete_time_ms = 2;"
    done = changed("event_service.proto", "int64 deleted_events = 1;", added)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_added_reason_is_free(changed):
    added = "ERROR_REASON_NOTHING_SERVED = 24;\n  // New.\n  ERROR_REASON_NEW = 900;"
    done = changed("errors.proto", "ERROR_REASON_NOTHING_SERVED = 24;", added)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_reason_of_the_tree_is_in_the_enum_and_no_other():
    of_tree = {getattr(errors, name).reason for name in errors.__all__}
    of_enum = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()}  # noqa: SIM118  # no dict
    assert of_enum - {"UNSPECIFIED"} == of_tree


def test_comment_of_each_reason_names_its_code():
    codes = {getattr(errors, name).reason: getattr(errors, name).code for name in errors.__all__}
    text = (PROTOS / "honeyguide" / "v1" / "errors.proto").read_text()
    comments = re.findall(r"  // ([^\n]*) Code ([A-Z_]+)\.\n  ERROR_REASON_([A-Z_]+) =", text)
    assert {reason: code for _, code, reason in comments} == codes


def test_files_agree_on_what_other_languages_call_them():
    options = FILES[0].GetOptions()
    assert [file.name for file in FILES if file.GetOptions() != options] == []
    assert options.java_multiple_files
    assert options.java_package == "io.honeyguide.v1"
    assert options.csharp_namespace == "Honeyguide.V1"
    assert options.ruby_package == "Honeyguide::V1"
    path, _, package = options.go_package.partition(";")
    assert (path.split("/")[-2:], package) == (["honeyguide", "v1"], "honeyguidev1")


def test_generation_with_buf_makes_messages_that_work(tmp_path):
    done = buf(ROOT, "generate", "protos", "--template", "protos/buf.gen.yaml", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    made = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    files = [*FILES, inference_pb2.DESCRIPTOR]
    assert made == {file.name.removesuffix(".proto") + end for file in files for end in ("_pb2.py", "_pb2.pyi")}
    for name in (name for name in made if name.endswith(".pyi")):
        assert (tmp_path / name).read_text() == (PROTOS / name).read_text()
    # The committed messages are out of this interpreter's sight: a field set, sent and read by what was just made.
    program = """
import sys
from pathlib import Path
sys.path = [sys.argv[1], *(p for p in sys.path if not Path(p, "honeyguide", "v1").is_dir())]
from honeyguide.v1 import recommender_service_pb2 as pb
assert pb.__file__.startswith(sys.argv[1])
print(pb.RecommendRequest.FromString(pb.RecommendRequest(user_id="7", k=3).SerializeToString()).k)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("3\n", "")
