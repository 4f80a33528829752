"""Batch scoring: what is written, what is refused, and that a killed run ends as if it had not been killed.

What survives a kill is the business of `score_files.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from honeyguide.client import (
    Client,
    InputError,
    InternalError,
    ModelChangedError,
    ResumeError,
    UnavailableError,
    scoring,
)
from honeyguide.client.scoring import ScoreOptions, score
from honeyguide.v1 import event_service_pb2, history_pb2

pytestmark = pytest.mark.slow(7)

USERS = [f"u{n}" for n in range(1000)]
OPTIONS = ScoreOptions(k=3, batch_size=10)


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return write(tmp_path / "users.parquet", {"user_id": USERS})


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(scoring, "PART_ITEMS", 300)  # 100 users a part


def write(path: Path, columns: dict[str, object], **options: object) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def run(fake, users: Path, output: Path, options: ScoreOptions = OPTIONS, **more):
    with Client(fake.address) as client:
        return score(client, users, output, options, **more)


def stop_at(batch: int):
    """Makes the fake refuse a batch with an error that does not pass."""

    def stop(number, context):
        if number == batch:
            context.abort(grpc.StatusCode.INTERNAL, "broken")

    return stop


def test_degraded_answers_are_written_and_counted_over_a_resume(fake, tmp_path):
    names = [f"poor{n}" if n % 4 == 0 else f"u{n}" for n in range(400)]
    users = write(tmp_path / "users.parquet", {"user_id": names})
    fake.before_batch = stop_at(25)
    with pytest.raises(InternalError):
        run(fake, users, tmp_path / "recs.parquet")
    fake.before_batch = lambda *_: None
    done = run(fake, users, tmp_path / "recs.parquet")
    assert (done.users, done.failed, done.degraded, done.resumed_at) == (400, 0, 100, 200)
    assert pq.read_table(tmp_path / "recs.parquet")["user_id"].to_pylist() == names


def test_every_user_is_answered_once_in_order(fake, users, tmp_path):
    seen = []
    done = run(fake, users, tmp_path / "recs.parquet", progress=lambda *now: seen.append(now))
    table = pq.read_table(tmp_path / "recs.parquet")
    assert [f"{f.name} {f.type}" for f in table.schema] == [
        "row int64",
        "user_id string",
        "item_ids list<element: string>",
        "scores list<element: float>",
        "sources list<element: string>",
    ]
    assert table["user_id"].to_pylist() == USERS
    assert table["item_ids"].to_pylist() == [[f"{u}/{n}" for n in range(3)] for u in USERS]
    assert table["scores"].to_pylist()[7] == pytest.approx([1, 1 / 2, 1 / 3])
    assert table["sources"].to_pylist()[7] == ["RETRIEVED"] * 3
    assert (done.users, done.failed, done.resumed_at, done.failed_rows) == (1000, 0, 0, None)
    assert [str(model) for model in done.models] == ["cf 1"]
    assert seen == [(n, 1000) for n in range(0, 1001, 10)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["recs.parquet", "users.parquet"]


def test_histories_are_sent_with_their_times_and_rows_are_numbered_without_user_ids(fake, tmp_path):
    sent = []
    honest = fake.answer
    fake.answer = lambda batch, k: (sent.extend(batch.rows), honest(batch, k))[1]
    columns = {"history": [["a", "b"], [], ["c"]], "history_time_ms": [[1, 2], [], None], "other": [1, 2, 3]}
    path = write(tmp_path / "users.parquet", columns, row_group_size=2)
    run(fake, path, tmp_path / "recs.parquet")
    assert [list(row.history.item_ids) for row in sent] == [["a", "b"], [], ["c"]]
    assert [list(row.history.times_ms) for row in sent] == [[1, 2], [], []]
    assert not any(row.HasField("user_id") for row in sent)
    table = pq.read_table(tmp_path / "recs.parquet")
    assert table["row"].to_pylist() == [0, 1, 2]
    assert table["item_ids"].to_pylist()[0][0] == "a+b/0"


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_text_columns_of_every_kind_are_read(fake, tmp_path, kind):
    ids = pa.array(["a", "b"]).cast(kind)
    histories = pa.array([["x"], ["y", "z"]], pa.large_list(pa.large_string()))
    path = write(tmp_path / "users.parquet", {"user_id": ids, "history": histories})
    run(fake, path, tmp_path / "recs.parquet")
    assert pq.read_table(tmp_path / "recs.parquet")["user_id"].to_pylist() == ["a", "b"]


def test_failed_rows_stand_in_their_own_file_with_reasons(fake, tmp_path):
    path = write(tmp_path / "users.parquet", {"user_id": ["a", "bad1", None, "b"]})
    done = run(fake, path, tmp_path / "recs.parquet")
    assert pq.read_table(tmp_path / "recs.parquet")["user_id"].to_pylist() == ["a", "b"]
    assert done.failed == 2
    assert done.failed_rows == tmp_path / "recs.failed.jsonl"
    lines = [json.loads(line) for line in done.failed_rows.read_text().splitlines()]
    assert list(lines[0].items()) == [
        ("row", 1),
        ("user_id", "bad1"),
        ("code", 3),
        ("reason", "INVALID_FIELD"),
        ("field", "user_id"),
        ("message", "'bad1' is bad"),
    ]
    assert (lines[1]["row"], lines[1]["field"]) == (2, "user_id")


def test_failures_are_counted_by_reason_over_a_resume_and_rows_keep_their_numbers(fake, tmp_path):
    names = [f"bad{n}" if n % 4 == 0 else f"u{n}" for n in range(400)]
    path = write(tmp_path / "users.parquet", {"user_id": names})
    fake.before_batch = stop_at(25)
    with pytest.raises(InternalError):
        run(fake, path, tmp_path / "recs.parquet")
    fake.before_batch = lambda *_: None
    done = run(fake, path, tmp_path / "recs.parquet")
    assert (done.failed, done.failures, done.resumed_at) == (100, {"INVALID_FIELD (user_id)": 100}, 200)
    table = pq.read_table(tmp_path / "recs.parquet")
    assert table["row"].to_pylist() == [n for n in range(400) if n % 4]
    assert table["user_id"].to_pylist() == [name for name in names if name.startswith("u")]


def test_csv_in_is_csv_or_json_lines_out(fake, tmp_path):
    path = tmp_path / "users.csv"
    path.write_text("user_id\n12352\nbad\n7.0\n")
    run(fake, path, tmp_path / "recs.csv", ScoreOptions(k=3))
    assert (tmp_path / "recs.csv").read_text().splitlines() == [
        "row,user_id,rank,item_id,score,source",
        "0,12352,1,12352/0,1,RETRIEVED",
        "0,12352,2,12352/1,0.5,RETRIEVED",
        "0,12352,3,12352/2,0.333333343,RETRIEVED",
        "2,7,1,7/0,1,RETRIEVED",
        "2,7,2,7/1,0.5,RETRIEVED",
        "2,7,3,7/2,0.333333343,RETRIEVED",
    ]
    run(fake, path, tmp_path / "recs.jsonl", ScoreOptions(k=1))
    lines = [json.loads(line) for line in (tmp_path / "recs.jsonl").read_text().splitlines()]
    assert lines[1] == {"row": 2, "user_id": "7", "item_ids": ["7/0"], "scores": [1.0], "sources": ["RETRIEVED"]}
    assert len(lines) == 2


def test_all_users_of_the_server_are_scored_and_a_resumed_run_scores_the_same(fake, tmp_path):
    output, options = tmp_path / "recs.parquet", ScoreOptions(k=3, batch_size=10)
    fake.events = [event_service_pb2.Event(user_id=f"u{n:04d}", item_id="a") for n in range(400)]
    fake.before_batch = stop_at(25)
    with Client(fake.address) as client:
        with pytest.raises(InternalError):
            score(client, None, output, options)
        fake.before_batch = lambda *_: None
        fake.events = [event_service_pb2.Event(user_id="new", item_id="a"), *fake.events[1:]]
        done = score(client, None, output, options)
        assert (done.users, done.resumed_at) == (400, 200)
        assert pq.read_table(output)["user_id"].to_pylist() == [f"u{n:04d}" for n in range(400)]
        assert not (tmp_path / "recs.parquet.parts").exists()
        again = score(client, None, output, options, force=True)
        assert again.users == 400
        assert pq.read_table(output)["user_id"].to_pylist()[0] == "new"


def test_all_users_of_a_server_that_is_away_leave_nothing(tmp_path, closed_port):
    with Client(f"127.0.0.1:{closed_port}") as client, pytest.raises(UnavailableError):
        score(client, None, tmp_path / "recs.parquet", OPTIONS)
    assert list(tmp_path.iterdir()) == []


def test_failed_rows_of_an_earlier_output_go_with_it(fake, tmp_path):
    bad = write(tmp_path / "bad.parquet", {"user_id": ["bad1"]})
    good = write(tmp_path / "good.parquet", {"user_id": ["a"]})
    assert run(fake, bad, tmp_path / "recs.parquet").failed == 1
    run(fake, good, tmp_path / "recs.parquet", force=True)
    assert not (tmp_path / "recs.failed.jsonl").exists()


def test_a_file_without_rows_gives_an_output_without_rows(fake, tmp_path):
    path = write(tmp_path / "users.parquet", {"user_id": pa.array([], pa.string())})
    assert run(fake, path, tmp_path / "recs.parquet").users == 0
    assert pq.read_table(tmp_path / "recs.parquet").num_rows == 0


def test_an_interrupted_run_resumes_to_the_same_bytes(fake, users, tmp_path):
    run(fake, users, tmp_path / "whole.parquet")
    fake.batches, fake.before_batch = 0, stop_at(57)
    with pytest.raises(Exception, match="broken"):
        run(fake, users, tmp_path / "recs.parquet")
    assert not (tmp_path / "recs.parquet").exists()
    fake.batches, fake.before_batch = 0, lambda _number, _context: None
    done = run(fake, users, tmp_path / "recs.parquet")
    assert done.resumed_at == 500
    assert fake.batches == 50
    assert (tmp_path / "recs.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not (tmp_path / "recs.parquet.parts").exists()


def test_every_answer_is_for_the_moment_of_the_first_run(fake, users, tmp_path):
    fake.before_batch = stop_at(57)
    with pytest.raises(Exception, match="broken"):
        run(fake, users, tmp_path / "recs.parquet")
    run(fake, users, tmp_path / "recs.parquet")
    moments = [request.options.request_time_ms for _, request in fake.requests]
    assert len(moments) == 2
    assert moments[0] == moments[1] > 1_700_000_000_000


def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(fake, users, tmp_path):
    whole, output = tmp_path / "whole.parquet", tmp_path / "recs.parquet"
    run(fake, users, whole)
    code = "from honeyguide.client import scoring; scoring.PART_ITEMS = 300; from honeyguide.cli import main; main()"
    command = [sys.executable, "-c", code, "score", str(users), str(output), "-k", "3", "--batch-size", "10"]
    kills, reached = 0, threading.Event()

    def hold(number, context):
        if kills < 3 and number >= 25 + kills:  # batches of who was killed may still come, and count
            reached.set()
            while context.is_active():
                time.sleep(0.005)

    fake.before_batch = hold
    while not output.exists():
        fake.batches = 0
        process = subprocess.Popen([*command, "--server", fake.address], stderr=subprocess.DEVNULL)
        if kills < 3:
            assert reached.wait(30)
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
            reached.clear()
        assert process.wait(30) == (0 if output.exists() else -signal.SIGKILL)
    assert kills == 3
    assert output.read_bytes() == whole.read_bytes()


def test_the_server_going_away_for_a_while_loses_and_doubles_nobody(fake, users, tmp_path):
    def away(number, context):
        if number in (3, 20, 21, 60):
            context.abort(grpc.StatusCode.UNAVAILABLE, "going away")

    fake.before_batch = away
    done = run(fake, users, tmp_path / "recs.parquet")
    assert pq.read_table(tmp_path / "recs.parquet")["user_id"].to_pylist() == USERS
    assert done.failed == 0
    assert fake.streams == 5
    assert [m.name for _, request in fake.requests[1:] for m in request.options.required_models] == ["cf"] * 4


def test_a_server_that_stays_away_ends_the_run_after_bounded_tries(fake, users, tmp_path):
    def away(number, context):
        if number >= 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "going away")

    fake.before_batch = away
    with pytest.raises(UnavailableError):
        run(fake, users, tmp_path / "recs.parquet", ScoreOptions(k=3, batch_size=10, reconnects=3))
    assert fake.streams == 4


def test_an_absent_server_is_reported_soon(users, tmp_path, closed_port):
    started = time.monotonic()
    with Client(f"127.0.0.1:{closed_port}") as client, pytest.raises(UnavailableError, match="cannot reach a server"):
        score(client, users, tmp_path / "recs.parquet", OPTIONS)
    assert time.monotonic() - started < 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["users.parquet"]


def test_a_model_that_changes_within_a_run_stops_it(fake, users, tmp_path):
    def swap(number, _context):
        if number == 57:
            fake.models = [history_pb2.ModelVersion(name="cf", version=2)]

    fake.before_batch = swap
    with pytest.raises(ModelChangedError, match=r"was begun with cf 1, .*now answers with cf 2") as caught:
        run(fake, users, tmp_path / "recs.parquet")
    assert "--restart" in caught.value.remedy
    with pytest.raises(ModelChangedError, match=r"was begun with cf 1, .*the pipeline has cf 2"):
        run(fake, users, tmp_path / "recs.parquet")
    done = run(fake, users, tmp_path / "recs.parquet", restart=True)
    assert [str(model) for model in done.models] == ["cf 2"]
    assert done.resumed_at == 0


def test_other_options_or_another_input_are_refused_on_resume(fake, users, tmp_path):
    output = tmp_path / "recs.parquet"
    fake.before_batch = stop_at(57)
    with pytest.raises(Exception, match="broken"):
        run(fake, users, output)
    with pytest.raises(ResumeError, match=r"stopped at row 500, but k was 3, is 4; pipeline was '', is 'shop'"):
        run(fake, users, output, ScoreOptions(k=4, batch_size=10, pipeline="shop"))
    write(users, {"user_id": USERS[::-1]})
    with pytest.raises(ResumeError, match=r"users\.parquet has changed"):
        run(fake, users, output)
    (tmp_path / "recs.parquet.parts" / "journal.json").write_text("{")
    with pytest.raises(ResumeError, match="cannot be read"):
        run(fake, users, output)
    assert run(fake, users, output, restart=True).resumed_at == 0
    assert pq.read_table(output)["user_id"].to_pylist() == USERS[::-1]


def test_a_run_that_failed_before_its_first_part_leaves_nothing_to_resume(fake, users, tmp_path):
    fake.before_batch = stop_at(0)
    with pytest.raises(Exception, match="broken"):
        run(fake, users, tmp_path / "recs.parquet")
    assert run(fake, users, tmp_path / "recs.parquet", ScoreOptions(k=5)).users == 1000


def test_an_output_that_is_there_is_kept_unless_forced(fake, users, tmp_path):
    output = tmp_path / "recs.parquet"
    output.write_text("precious")
    with pytest.raises(InputError, match="is there already"):
        run(fake, users, output)
    assert output.read_text() == "precious"
    with pytest.raises(InputError, match="is the input"):
        run(fake, users, users, force=True)
    run(fake, users, output, force=True)
    assert pq.read_table(output).num_rows == 1000


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user": ["a"]}, "neither column 'user_id' nor 'history' is there; it has user"),
        ({"user_id": [True]}, "column 'user_id' is bool; allowed: text or whole numbers"),
        ({"user_id": [1.0, 1.5]}, r"rows 0 to 1: user_id is 1\.5; allowed: text or whole numbers"),
        ({"history": [["a"], None], "user_id": [float("inf"), 1]}, "user_id is inf; allowed"),
        ({"user_id": [["a"]]}, r"column 'user_id' is list<.*>; allowed: text"),
        ({"history": ["a"]}, "column 'history' is string; allowed: lists of text"),
        ({"history": [[1.5]]}, r"history is 1\.5; allowed: text or whole numbers"),
        ({"history": [[True]]}, "column 'history' is list<.*>; allowed: lists of text"),
        ({"history": [["a"]], "history_time_ms": [["x"]]}, "'history_time_ms' is list<.*>; allowed: lists of whole"),
    ],
)
def test_columns_of_the_wrong_name_or_type_are_named(fake, tmp_path, columns, message):
    with pytest.raises(InputError, match=message) as caught:
        run(fake, write(tmp_path / "users.parquet", columns), tmp_path / "recs.parquet")
    assert caught.value.remedy
    assert fake.requests == []


def test_files_that_are_no_parquet_are_named(fake, users, tmp_path):
    wrong = tmp_path / "wrong.parquet"
    for content, message in ((b"", "the file is empty"), (b"PK\3\4", "a workbook or an archive")):
        wrong.write_bytes(content)
        with pytest.raises(InputError, match=message):
            run(fake, wrong, tmp_path / "recs.parquet")
    wrong.write_bytes(users.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a whole Parquet file"):
        run(fake, wrong, tmp_path / "recs.parquet")
    with pytest.raises(InputError, match="no such file"):
        run(fake, tmp_path / "absent.parquet", tmp_path / "recs.parquet")
    with pytest.raises(InputError, match="no such folder"):
        run(fake, users, tmp_path / "absent" / "recs.parquet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ScoreOptions(k=0), "k is 0; allowed: 1–1000"),
        (ScoreOptions(k=1001), "k is 1001"),
        (ScoreOptions(batch_size=257), "batch_size is 257; allowed with k = 10: 1–256"),
        (ScoreOptions(k=1000, batch_size=21), "allowed with k = 1000: 1–20"),
        (ScoreOptions(window=0), "window is 0; allowed: 1 or more"),
    ],
)
def test_options_out_of_range_are_named(fake, users, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run(fake, users, tmp_path / "recs.parquet", options)


def test_messages_stay_below_the_limit_of_grpc_however_long_the_histories(fake, tmp_path, monkeypatch):
    sizes = []
    honest = fake.answer
    fake.answer = lambda batch, k: (sizes.append((len(batch.rows), batch.ByteSize())), honest(batch, k))[1]
    monkeypatch.setattr(scoring, "MAX_BATCH_BYTES", 20_000)
    histories = [[f"item-{n:04d}-ü" for n in range(400)], ["a"], *[["b" * 250] * 60] * 3]
    path = write(
        tmp_path / "users.parquet", {"history": histories, "history_time_ms": [[1] * len(h) for h in histories]}
    )
    run(fake, path, tmp_path / "recs.parquet")
    assert [rows for rows, _ in sizes] == [2, 1, 1, 1]
    assert max(size for _, size in sizes) < 20_000
