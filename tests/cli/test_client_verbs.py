"""The verbs that talk to a server: tables, JSON, exit codes, and one clear line when nobody answers.

They reach the server through `connection.py` and print with `output.py`.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from certificates import Authority
from typer.testing import CliRunner

from honeyguide.cli import models, recommend, record, score
from honeyguide.client import UnavailableError, messages
from honeyguide.v1 import event_service_pb2

pytestmark = pytest.mark.slow(6)

COMMANDS = [
    ["recommend", "u", "--history", "a", "--history", "b", "-k", "3"],
    ["record", "u", "a", "--event-type", "view", "--dwell", "2.5"],
    ["models"],
    ["models", "list"],
    ["models", "show", "cf"],
    ["models", "load", "cf", "--version", "2"],
    ["models", "unload", "cf"],
    ["models", "pipelines"],
    ["models", "traffic", "shop", "--arm", "next=10"],
]


@pytest.fixture
def honeyguide(monkeypatch):
    """Runs a verb; gives exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer()
    for verb in (models, recommend, record, score):
        verb.add_to(app)
    return lambda *words: CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_all_that_standard_output_holds(fake, honeyguide, command):
    done = honeyguide(*command, "--server", fake.address, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_address_may_come_from_the_environment(fake, honeyguide, monkeypatch, command):
    monkeypatch.setenv("HONEYGUIDE_SERVER", fake.address)
    assert honeyguide(*command).exit_code == 0
    assert len(fake.requests) >= 1


@pytest.mark.parametrize("command", [[], ["list"], ["show"], ["load"], ["unload"], ["pipelines"], ["traffic"]])
def test_every_sub_verb_has_help_with_an_example(honeyguide, command):
    done = honeyguide("models", *command, "--help")
    assert done.exit_code == 0
    assert "Example: honeyguide models" in done.stdout


def test_recommend_prints_rank_item_title_score_and_source(fake, honeyguide):
    done = honeyguide(
        "recommend",
        "u",
        "--server",
        fake.address,
        "--explain",
        "--exclude",
        "x,y",
        "--exclude",
        "z",
        "--category",
        "tea, hot",
    )
    assert done.exit_code == 0
    assert "For user u, by cf 1" in done.stdout
    for word in ("rank", "item", "title", "score", "source", "i-u", "Honig", "0.5000", "retrieved", "Title a; Title b"):
        assert word in done.stdout
    assert "RANK_FAILED" in done.stderr
    assert f"honeyguide record u i-u --server {fake.address}" in done.stderr
    request = fake.requests[0][1]
    assert list(request.filter.exclude_item_ids) == ["x,y", "z"]
    assert list(request.filter.any_categories) == ["tea, hot"]


def test_recommend_takes_a_history_alone_and_asks_for_one_of_both(fake, honeyguide):
    assert honeyguide("recommend", "--history", "a,b", "--history", "c", "--server", fake.address).exit_code == 0
    request = fake.requests[0][1]
    assert (request.HasField("user_id"), list(request.history.item_ids)) == (False, ["a,b", "c"])
    assert honeyguide("recommend", "--server", fake.address).exit_code == 2


def test_recommend_says_what_is_unusual_about_the_answer(fake, honeyguide):
    words = ["recommend", "--server", fake.address]
    assert "an option with commas is one id: repeat --history" in honeyguide(*words, "--history", "a,b").stderr
    told = honeyguide(*words, "--history", "a").stderr
    assert "2 events of the history have items that the model does not know" in told
    assert "commas" not in told
    assert "nothing is" not in told
    assert "category" not in told
    told = honeyguide(*words, "--history", "a", "--category", "tea", "--category", "no [/x]").stderr
    assert "no item has the category 'no [/x]'; --ignore-category-case helps" in told
    told = honeyguide(*words, "--history", "a", "--category", "no TEA", "--ignore-category-case").stderr
    assert "no item has the category 'no TEA'\n" in told
    assert fake.requests[-1][1].filter.ignore_category_case


@pytest.mark.parametrize(
    ("state", "words", "note"),
    [
        ("ANONYMOUS", ["u"], "nothing is known of user u: this is what anybody is recommended"),
        ("INLINE", ["u", "--history", "a"], "nothing is recorded of user u: the history given counts alone"),
    ],
)
def test_recommend_says_when_the_user_is_unknown(fake, honeyguide, monkeypatch, state, words, note):
    monkeypatch.setattr(messages, "user_state", lambda _: state)
    assert f"note: {note}" in honeyguide("recommend", *words, "--server", fake.address).stderr


def test_data_is_never_read_as_markup_and_the_next_command_is_quoted(fake, honeyguide):
    done = honeyguide("recommend", "[/x] it's", "--server", fake.address, "--explain")
    assert "For user [/x] it's" in done.stdout
    assert "i-[/x] it's" in done.stdout
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("next: "))
    assert shlex.split(line)[1:] == ["honeyguide", "record", "[/x] it's", "i-[/x] it's", "--server", fake.address]
    for word in (["record", "[/x]", "[red]"], ["models", "show", "[/x]"], ["models", "load", "[/x]"]):
        assert honeyguide(*word, "--server", fake.address).exit_code == 0


@pytest.mark.parametrize("words", [["list"], ["show", "cf"], ["load", "cf"], ["unload", "cf"], ["pipelines"]])
def test_the_group_of_models_hands_its_options_down(fake, closed_port, honeyguide, monkeypatch, words):
    monkeypatch.setenv("HONEYGUIDE_SERVER", f"127.0.0.1:{closed_port}")
    done = honeyguide("models", "--server", fake.address, "--json", *words)
    assert done.exit_code == 0
    assert json.loads(done.stdout)
    monkeypatch.setenv("HONEYGUIDE_SERVER", fake.address)
    with pytest.raises(UnavailableError):  # what stands nearest to the verb wins
        honeyguide("models", "--server", fake.address, *words, "--server", f"127.0.0.1:{closed_port}")


def test_record_says_whether_the_event_was_new(fake, honeyguide):
    words = ["record", "u", "a", "--event-id", "e", "--quantity", "2", "--value", "0", "--server", fake.address]
    assert "recorded\n" in honeyguide(*words).stdout
    assert "recorded before" in honeyguide(*words).stdout
    (event,) = fake.events
    assert (event.quantity, event.HasField("value"), event.HasField("clicks")) == (2, True, False)
    assert json.loads(honeyguide(*words, "--json").stdout)["duplicate"] is True


def test_models_are_listed_with_version_and_state(fake, honeyguide):
    shown = honeyguide("models", "--server", fake.address).stdout
    for word in ("cf 2", "cf 1", "serving", "0.2500", "CPU float16", "12.3 MB", "abababab", "release"):
        assert word in shown
    shown = honeyguide("models", "show", "cf", "--server", fake.address).stdout
    for word in ("ndcg@10", "float16", "12.3 MB", "ab" * 32, "release", "2027-01-15T08:00:00+00:00"):
        assert word in shown
    assert "cf 2 serves in place of version 1" in honeyguide("models", "load", "cf", "--server", fake.address).stdout
    assert "cf 2 serves no more" in honeyguide("models", "unload", "cf", "--server", fake.address).stdout
    shown = honeyguide("models", "pipelines", "--server", fake.address).stdout
    assert {"shop", "(default)"} <= set(shown.split())  # on two lines where the table is narrow


def test_traffic_is_set_by_one_line_and_taken_back_by_one(fake, honeyguide):
    words = ["models", "traffic", "shop", "--server", fake.address]
    done = honeyguide(*words, "--arm", "next=10", "--arm", "old=2.5", "--shadow", "trial")
    assert done.stdout == "shop: 10 % next, 2.5 % old, shadow trial; before: itself alone\n"
    assert honeyguide(*words, "--previous").exit_code == honeyguide(*words, "--alone").exit_code == 0
    sent = [request for name, request in fake.requests if name == "SetTraffic"]
    assert [(request.previous, request.HasField("traffic")) for request in sent] == [
        (False, True),
        (True, False),
        (False, True),
    ]
    assert not sent[2].traffic.arms
    for wrong in ([], ["--alone", "--previous"], ["--arm", "next"], ["--arm", "next=ten"]):
        assert honeyguide(*words, *wrong).exit_code == 2


def command(*words: object) -> subprocess.CompletedProcess[str]:
    done = [sys.executable, "-c", "from honeyguide.cli import main; main()", *map(str, words)]
    return subprocess.run(done, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [("recommend", "u"), ("record", "u", "a"), ("models", "list")])
def test_an_absent_server_gets_a_clear_line_with_a_remedy(closed_port, words):
    done = command(*words, "--server", f"127.0.0.1:{closed_port}")
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith(f"error: cannot reach a server at 127.0.0.1:{closed_port}")
    assert "remedy: start a server with `honeyguide serve`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_handshake_that_fails_is_told_in_words_alone(fake, tmp_path: Path):
    ca = Authority(tmp_path).certificate
    done = command("models", "--server", fake.address, "--tls-ca", ca)
    assert done.stderr.splitlines() == [
        f"error: cannot reach a server at {fake.address} (it does not speak TLS)",
        "  remedy: check that the server speaks TLS, and that `Tls.ca` (--tls-ca) signs its certificate for this name",
    ]


def test_an_error_of_the_server_is_printed_with_its_remedy(fake):
    fake.fail("Recommend", grpc.StatusCode.NOT_FOUND, "PIPELINE_NOT_FOUND", "no pipeline 'x'; there are: shop")
    done = command("recommend", "u", "--pipeline", "x", "--server", fake.address)
    assert (done.returncode, done.stderr) == (5, "error: no pipeline 'x'; there are: shop\n")


def test_score_says_what_it_wrote_and_exits_with_4_when_rows_failed(fake, honeyguide, tmp_path: Path):
    folder = tmp_path / "[red]"
    folder.mkdir()
    users, recs = folder / "users.parquet", folder / "recs.parquet"
    pq.write_table(pa.table({"user_id": ["a", "b"]}), users)
    done = honeyguide("score", str(users), str(recs), "--server", fake.address)
    assert done.exit_code == 0
    assert "[red]/recs.parquet: 2 users" in done.stdout
    pq.write_table(pa.table({"user_id": ["a", "bad"]}), users)
    done = honeyguide("score", str(users), str(recs), "--server", fake.address, "--force", "--json")
    assert done.exit_code == 4
    assert json.loads(done.stdout)["failed"] == 1
    assert json.loads(done.stdout)["failures"] == {"INVALID_FIELD (user_id)": 1}
    assert "1 users failed: 1 × INVALID_FIELD (user_id); each with its row in" in done.stderr


def test_score_takes_all_users_of_the_server(fake, honeyguide, tmp_path: Path):
    fake.events = [event_service_pb2.Event(user_id=user, item_id="a") for user in ("b", "a", "b")]
    recs = tmp_path / "recs.csv"
    done = honeyguide("score", "--all-users", str(recs), "-k", "1", "--server", fake.address)
    assert (done.exit_code, recs.read_text().splitlines()[1:]) == (
        0,
        ["0,a,1,a/0,1,RETRIEVED", "1,b,1,b/0,1,RETRIEVED"],
    )
    for words in (["--all-users", "users.csv", str(recs)], [str(recs)]):
        done = honeyguide("score", *words, "--server", fake.address)
        assert done.exit_code == 2
        assert "give the file to write" in done.stderr


def test_score_refuses_bad_input_with_exit_code_3(fake, tmp_path: Path):
    done = command("score", tmp_path / "absent.parquet", tmp_path / "recs.parquet", "--server", fake.address)
    assert done.returncode == 3
    assert "absent.parquet: no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_scoring_with_130_and_says_how_to_go_on(fake, tmp_path: Path):
    users, recs = tmp_path / "users.parquet", tmp_path / "recs.parquet"
    pq.write_table(pa.table({"user_id": ["a"] * 10}), users)
    fake.before_batch = lambda _number, _context: fake.slow.wait(10)
    words = ["score", str(users), str(recs), "--server", fake.address]
    code = "from honeyguide.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True)
    while not fake.batches:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "run the same command again to go on" in said
    assert "Traceback" not in said


def test_a_title_of_the_server_is_text_whatever_stands_in_it(fake, honeyguide):
    fake.title = "[/x] boom [red]y \x1b]0;t\x07\u202e"
    done = honeyguide("recommend", "u", "--server", fake.address)
    assert done.exit_code == 0
    assert r"[/x] boom [red]y \x1b]0;t\x07\u202e" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_verb_that_asks_a_server_brings_the_token_of_a_file(fake, honeyguide, tmp_path: Path, command):
    file = tmp_path / "token"
    file.write_text("secret-word\n")
    done = honeyguide(*command, "--server", fake.address, "--token-file", str(file))
    assert done.exit_code == 0
    assert set(fake.authorizations) == {"Bearer secret-word"}
    assert "secret-word" not in done.output
    if "next:" in done.stderr:
        assert f"--token-file {file}" in done.stderr


def test_a_token_goes_nowhere_in_plain_text_and_a_wrong_file_is_named(honeyguide, tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("secret-word")
    done = command("models", "--server", "shop.example:1", "--token-file", file)
    assert done.returncode == 2
    assert "would go to shop.example:1 in plain text" in done.stderr
    assert "secret-word" not in done.stdout + done.stderr
    done = command("models", "--token-file", tmp_path / "absent", "--json")
    assert (done.returncode, "absent cannot be read" in done.stderr) == (2, True)
    for text in ("[callers.shop]\ntoken = 'secret-word'", "secret-word two", "sécret-word", "\n"):
        file.write_text(text, "utf-8")
        done = honeyguide("models", "--token-file", str(file))
        said = " ".join(done.stderr.replace("│", " ").split())
        assert done.exit_code == 2
        assert file.name in said
        assert "should hold the token alone" in said
        assert "cret-word" not in said
    done = command("models", "--tls-ca", tmp_path / "absent", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["field"]) == (2, "tls")
