"""The OpenAPI file is valid, has every rpc of the web port, and describes what the server really takes and answers."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from honeyguide.sdk.host import PluginHost
from honeyguide.server.access.roles import ROLES_OF
from honeyguide.server.app import Server
from honeyguide.server.settings import make_settings

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text())
PAGE = (ROOT / "docs" / "web.md").read_text()
STREAM = "/honeyguide.v1.RecommenderService/RecommendStream"
BASH = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
CALL = re.compile(r"--json '(.*?)'(?:.(?!curl))*?127\.0\.0\.1:8080(/honeyguide\.v1\.\S+)", re.DOTALL)


def test_the_file_is_valid_and_has_every_rpc_but_the_stream() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []
    assert set(DOCUMENT["paths"]) == {path for path in ROLES_OF if path.startswith("/honeyguide.v1.")} - {STREAM}
    fields = DOCUMENT["components"]["schemas"]["honeyguide.v1.RecommendRequest"]["properties"]
    assert fields["k"]["description"] == "How many items, 1–1,000. Unset: 10; 0 is refused."


def validator(reference: dict[str, Any]) -> Any:
    """Of a schema in the file."""
    return OAS31Validator({"components": DOCUMENT["components"], **reference})


def schema_of(body: dict[str, Any]) -> Any:
    return validator(body["content"]["application/json"]["schema"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed: apt-get install curl")
async def test_every_curl_of_the_page_runs_and_the_file_describes_it(
    shared_repository: Path, host: PluginHost, tmp_path: Path
) -> None:
    settings = make_settings(
        repository=shared_repository, port=0, metrics_port=-1, web_port=0, events=str(tmp_path / "events.db")
    )
    described = 0
    async with Server(settings, host) as server:
        for block in BASH:
            command = block.replace("127.0.0.1:8080", f"127.0.0.1:{server.web_port}")
            command = command.replace("curl ", "curl --silent --show-error --fail-with-body ").replace(
                "\ncurl", "; echo\ncurl"
            )
            done = await asyncio.to_thread(
                subprocess.run, ["bash", "-e", "-c", command], capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done
            answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            calls = CALL.findall(block)
            assert len(answers) == len(calls) == block.count("curl"), done.stdout
            for (request, path), answer in zip(calls, answers, strict=True):
                operation = DOCUMENT["paths"][path]["post"]
                schema_of(operation["requestBody"]).validate(json.loads(request))
                schema_of(operation["responses"]["200"]).validate(answer)
                described += len(answer) > 0
            if "X-Request-Id" in block:
                assert "x-request-id: mine-1" in done.stdout.lower()
    assert described >= 6


def test_a_misspelt_field_is_none_of_the_file_either() -> None:
    request = schema_of(DOCUMENT["paths"]["/honeyguide.v1.RecommenderService/Recommend"]["post"]["requestBody"])
    assert not request.is_valid({"userID": "ada"})
    assert request.is_valid({"userId": "ada", "requestTimeMs": "5", "history": {"timesMs": [1, "2"]}})


def test_json_of_the_page_is_as_described() -> None:
    answer, error = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    path = DOCUMENT["paths"]["/honeyguide.v1.RecommenderService/Recommend"]["post"]
    schema_of(path["responses"]["200"]).validate(answer)
    schema = validator({"$ref": "#/components/schemas/connect.Error"})
    schema.validate(error)
    described = DOCUMENT["components"]["schemas"]["honeyguide.v1.RecommendResponse"]["properties"]
    assert set(answer) <= set(described)
