"""What is in `deploy/` fits together: linters pass, names are real, the image has what a build needs and no torch."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from honeyguide.sdk.host import PluginHost
from honeyguide.server.app import Server
from honeyguide.server.settings import Settings

pytestmark = pytest.mark.slow(6)

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
MANIFESTS = DEPLOY / "kubernetes" / "honeyguide.yaml"
README = (DEPLOY / "README.md").read_text()
KSERVE = yaml.safe_load((DEPLOY / "kubernetes" / "kserve.yaml").read_text())


def run(*command: object) -> subprocess.CompletedProcess[str]:
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True, env=os.environ | {"PATH": beside}
    )


def kinds() -> dict[str, Any]:
    return {document["kind"]: document for document in yaml.safe_load_all(MANIFESTS.read_text())}


def test_the_dockerfile_is_sound():
    done = run("hadolint", DEPLOY / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_has_all_that_a_build_needs(tmp_path):
    copied = re.findall(r"^COPY (?!--)(.*) (\S+)$", DOCKERFILE.split("\nFROM ")[1], re.MULTILINE)
    for sources, target in copied:
        for source in sources.split():
            there = tmp_path / (source if target == "./" else target)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, there, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, there)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "dist").glob("honeyguide-*.whl"))


def test_the_image_installs_no_torch():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (asked,) = re.findall(r"pip install -c constraints.txt '\.\[(.*)\]'", DOCKERFILE)
    wanted, met = asked.split(","), set[str]()
    for extra in wanted:  # it grows as it is read
        for need in extras[extra]:
            met.add(re.split(r"[\[<>=;! ]", need)[0])
            wanted += re.findall(r"^honeyguide\[(.*)\]", need)[0].split(",") if need.startswith("honeyguide[") else []
    assert {"faiss-cpu", "psycopg", "typer"} <= met
    assert not {"torch", "onnx", "onnxscript"} & met


@pytest.mark.parametrize("path", sorted(p for p in DEPLOY.rglob("*") if p.is_file()), ids=lambda p: p.name)
def test_every_setting_that_is_named_exists(path):
    named = {name for name in re.findall(r"HONEYGUIDE_([A-Z_]+[A-Z])", path.read_text()) if "HEALTH" not in name}
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_the_manifests_fit_the_schemas_of_kubernetes():
    done = run("kubernetes-validate", "--strict", MANIFESTS)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count(" passed ") == 7


def test_a_wrong_manifest_is_refused(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(MANIFESTS.read_text().replace("terminationGracePeriodSeconds: 40", "terminationGraceSeconds: 40"))
    assert run("kubernetes-validate", "--strict", wrong).returncode != 0


def test_the_claim_that_the_page_shows_fits_the_pods(tmp_path):
    (shown,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "claim.yaml").write_text(shown)
    done = run("kubernetes-validate", "--strict", tmp_path / "claim.yaml")
    assert done.returncode == 0, done.stderr
    claim, pod = yaml.safe_load_all(shown)
    used = [v["persistentVolumeClaim"]["claimName"] for v in pod["spec"]["volumes"]]
    pods = kinds()["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert used == [claim["metadata"]["name"]]
    assert used == [v["persistentVolumeClaim"]["claimName"] for v in pods if "persistentVolumeClaim" in v]


def test_the_settings_that_the_page_shows_are_settings():
    (shown,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    assert set(tomllib.loads(shown)) <= set(Settings.model_fields)


def test_what_kserve_runs_is_a_sound_pod(tmp_path):
    predictor = {k: v for k, v in KSERVE["spec"]["predictor"].items() if k not in ("minReplicas", "maxReplicas")}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": predictor}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    done = run("kubernetes-validate", "--strict", tmp_path / "pod.yaml")
    assert done.returncode == 0, done.stderr
    (container,) = predictor["containers"]
    assert (container["name"], [port["name"] for port in container["ports"]]) == ("kserve-container", ["h2c"])


def test_pods_drain_before_they_are_killed():
    pod = kinds()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    drain = int(kinds()["ConfigMap"]["data"]["HONEYGUIDE_DRAIN_SECONDS"])
    assert pause + drain < pod["terminationGracePeriodSeconds"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in kinds()["Service"]["spec"]["ports"]} == ports


def test_pods_scale_on_a_metric_that_there_is():
    from honeyguide.server.ops.metrics import Metrics

    (metric,) = kinds()["HorizontalPodAutoscaler"]["spec"]["metrics"]
    names = {family.name for family in Metrics().registry.collect()}
    assert metric["pods"]["metric"]["name"] in names


def test_compose_starts_what_its_files_name():
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    assert set(compose["services"]) == {"honeyguide", "postgres", "prometheus"}
    assert compose["services"]["honeyguide"]["build"]["dockerfile"] == "deploy/Dockerfile"
    mounted = {v.partition(":")[0] for s in compose["services"].values() for v in s["volumes"]}
    assert {name for name in mounted if "/" not in name} == set(compose["volumes"])
    (job,) = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["honeyguide:9464"]


async def test_the_health_check_says_whether_the_server_answers(
    shared_repository: Path, host: PluginHost, tmp_path: Path
) -> None:
    given = {"port": 0, "metrics_port": -1, "events": tmp_path / "events.db", "traffic": tmp_path / "traffic.json"}
    async with Server(Settings(repository=shared_repository, **given), host) as server:
        target = f"127.0.0.1:{server.port}"

        def check() -> tuple[int, str]:
            environment = os.environ | {"HONEYGUIDE_HEALTH_TARGET": target}
            command = [sys.executable, str(DEPLOY / "healthy.py")]
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
            return done.returncode, done.stderr

        assert await asyncio.to_thread(check) == (0, "")
    code, said = check()
    assert (code, said.strip()) == (1, f"{target}: UNAVAILABLE")
