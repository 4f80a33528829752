"""Builds each language's client as from a fresh checkout, and follows its example against real servers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer, serve
from languages import LANGUAGES, Language, run

from honeyguide.v1.recommender_service_pb2 import RecommendResponse

ROOT = Path(__file__).parents[2]
STEPS = """\
recommend: ANONYMOUS, 5 items
record: 3 accepted
recommend again: STORED, 5 items
history: INLINE, 5 items
error: INVALID_FIELD, fields user_id k
deadline: DEADLINE_EXCEEDED
stream: 1000 users
retry: 20 answered
forget: 3 events
"""


class Built:
    """A language's client, built; and the seconds that this took."""

    def __init__(self, language: Language, folder: Path) -> None:
        start = time.monotonic()
        self.language, self.folder = language, language.copy(folder)
        language.build(self.folder)
        self.seconds = time.monotonic() - start

    def run(self, arguments: list[str], *, check: bool = True) -> Any:
        """Runs the example."""
        return run([*self.language.command(self.folder), *arguments], self.folder, check=check, seconds=60)


@pytest.fixture(scope="module", params=LANGUAGES, ids=lambda language: language.name)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Each language's client in turn."""
    language: Language = request.param
    if missing := language.missing():
        pytest.skip(f"{missing} is not installed: apt-get install {language.debian}")
    return Built(language, tmp_path_factory.mktemp(language.name))


def refused(server: Any) -> float:
    """Counts the calls that were over the caller's limit."""
    found = (s for m in server.metrics.registry.collect() for s in m.samples if s.name == "honeyguide_errors_total")
    return sum(sample.value for sample in found if sample.labels["reason"] == "RATE_EXCEEDED")


def test_the_example_does_all_that_a_caller_needs(built: Built, servers: Any, summary: list[str]) -> None:
    start = time.monotonic()
    to_open, to_closed = servers.arguments(built.language.name)
    assert built.run(to_open).stdout == STEPS
    seconds, before = time.monotonic() - start, refused(servers.closed_server)
    closed = built.run(to_closed).stdout
    assert closed == "tls and token: without a token UNAUTHENTICATED\n" + STEPS
    assert refused(servers.closed_server) > before, "nothing had to be tried again"
    name, lines = built.language.name, built.language.lines()
    summary.append(f"{name}: {lines} lines, built in {built.seconds:.1f} s, run in {seconds:.1f} s")


class Forgetful(FakeServer):
    """Server that hears of no user."""

    def Recommend(self, request: Any, context: Any) -> RecommendResponse:  # noqa: N802  # gRPC's
        """Recommends popular items to somebody unknown."""
        items = [{"item_id": f"item-{row}", "source": "SOURCE_POPULAR"} for row in range(5)]
        return RecommendResponse(request_id="0" * 32, items=items, user_state="USER_STATE_ANONYMOUS")


@pytest.fixture(scope="module")
def forgetful() -> Iterator[str]:
    """The address of a server that hears of no user."""
    fake = Forgetful()
    server = serve(fake)
    yield fake.address
    server.stop(None)


def test_the_example_stops_where_the_user_did_not_arrive(built: Built, forgetful: str) -> None:
    done = built.run([forgetful], check=False)
    assert done.returncode != 0
    assert done.stdout == "recommend: ANONYMOUS, 5 items\nrecord: 3 accepted\n"
    assert "the server knows no events of the user: ANONYMOUS" in done.stderr


def test_the_other_spelling_of_a_field_is_refused(built: Built) -> None:
    done = built.language.misspell(built.folder)
    assert done.returncode != 0
    assert built.language.complaint in done.stdout + done.stderr


def test_committed_stubs_of_go_are_fresh(built: Built) -> None:
    if built.language.name != "go":
        return
    committed = {path.name: path.read_text() for path in (built.folder / "honeyguidev1").iterdir()}
    for path in (built.folder / "honeyguidev1").iterdir():
        path.unlink()
    run(["./generate.sh"], built.folder)
    made = {path.name: path.read_text() for path in (built.folder / "honeyguidev1").iterdir()}
    assert made == committed, "run clients/go/generate.sh"


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_the_readme_has_one_screen_and_says_why_names_are_safe(language: Language) -> None:
    text = (ROOT / "clients" / language.name / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 50
    assert "ANONYMOUS" in text
    assert language.example in text


def test_retries_are_the_same_in_every_language() -> None:
    config = re.sub(r"\s", "", (ROOT / "clients" / "service-config.json").read_text("utf-8"))
    for file in ("go/client.go", "cpp/example.cc", "ruby/lib/honeyguide.rb", "../docs/other-languages.md"):
        text = re.sub(r'[\s"]', "", (ROOT / "clients" / file).read_text("utf-8"))
        assert config.replace('"', "") in text, file
