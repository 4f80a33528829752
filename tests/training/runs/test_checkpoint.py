import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from honeyguide.sdk import DataSpec, FeatureScaler
from honeyguide.sdk.errors import DataError, PluginError
from honeyguide.sdk.host import PluginHost
from honeyguide.training.runs.checkpoint import Checkpoint, load_checkpoint, plugin_of, save_checkpoint

SPEC = DataSpec(
    items=9,
    repeats=True,
    has_time=True,
    event_types=("buy", "view"),
    features=(FeatureScaler("clicks", 0.0, 0.0, 9.0, log=True, mean=0.5, std=2.0),),
    fingerprint="f" * 64,
)


@pytest.fixture
def run(host: PluginHost, tmp_path: Path) -> Path:
    cls = host.model("tiny")
    torch.manual_seed(5)
    network = cls(cls.Config(width=4), SPEC).network()
    checkpoint = Checkpoint(
        model="tiny",
        config={"width": 4, "dropout": 0.25, "max_length": 7},
        plugin=plugin_of(host, "tiny"),
        spec=SPEC,
        dataset="shop",
        seed=3,
        candidates=0,
        epochs=12,
        metrics={"retrieve/ndcg@10": 0.5},
        report={"ranker": "the model has none"},
    )
    save_checkpoint(tmp_path / "run", checkpoint, network)
    return tmp_path / "run"


def edit(run: Path, **changes: object) -> None:
    file = run / "checkpoint.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_checkpoint_comes_back_as_it_was(run: Path, host: PluginHost) -> None:
    checkpoint, model, network = load_checkpoint(run, host)
    assert checkpoint.spec == SPEC
    assert checkpoint.plugin == "tiny-plugin 1.2"
    assert (checkpoint.seed, checkpoint.epochs, checkpoint.metrics) == (3, 12, {"retrieve/ndcg@10": 0.5})
    assert model.max_length == 7
    assert not network.training
    torch.manual_seed(5)
    for ours, theirs in zip(model.network().state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_run_folder_holds_two_files_and_no_pickle(run: Path) -> None:
    assert {file.name for file in run.iterdir()} == {"checkpoint.json", "weights.safetensors"}
    json.loads((run / "checkpoint.json").read_text())
    assert load_file(run / "weights.safetensors")


@pytest.mark.parametrize("name", ["checkpoint.json", "weights.safetensors"])
def test_a_missing_file_is_named(run: Path, host: PluginHost, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(DataError, match=rf"(?s){name}: there is no such file.*train the model again"):
        load_checkpoint(run, host)


def test_a_folder_that_is_no_run_is_refused(host: PluginHost, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished training"):
        load_checkpoint(tmp_path, host)
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        load_checkpoint(tmp_path / "nowhere", host)


def test_an_unknown_plugin_is_named_with_those_that_exist(run: Path, host: PluginHost) -> None:
    edit(run, model="grandiose")
    with pytest.raises(PluginError, match="'grandiose'; there are: tiny"):
        load_checkpoint(run, host)


def test_weights_of_another_shape_are_refused_by_name(run: Path, host: PluginHost) -> None:
    edit(run, config={"width": 6})
    with pytest.raises(DataError, match=r"last\.weight has shape \(10, 4\), the model \(10, 6\).*tiny-plugin 1\.2"):
        load_checkpoint(run, host)


def test_weights_of_another_network_are_refused_by_name(run: Path, host: PluginHost) -> None:
    edit(run, model="tiny_ranking")
    with pytest.raises(DataError, match=r"follows\.weight is missing"):
        load_checkpoint(run, host)


def test_an_option_the_installed_model_lacks_is_named(run: Path, host: PluginHost) -> None:
    edit(run, config={"depth": 2})
    with pytest.raises(DataError, match="unknown option 'depth'"):
        load_checkpoint(run, host)


def test_truncated_weights_are_refused(run: Path, host: PluginHost) -> None:
    file = run / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"weights\.safetensors: is corrupt"):
        load_checkpoint(run, host)


def test_changed_weights_are_refused(run: Path, host: PluginHost) -> None:
    file = run / "weights.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    with pytest.raises(DataError, match="it was changed"):
        load_checkpoint(run, host)


def test_a_pickle_under_the_weights_name_is_refused(run: Path, host: PluginHost) -> None:
    torch.save({"last.weight": torch.zeros(10, 4)}, run / "weights.safetensors")
    with pytest.raises(DataError, match="is corrupt"):
        load_checkpoint(run, host)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"format_version": 2}', "\udcff"])
def test_a_broken_description_is_refused(run: Path, host: PluginHost, text: str) -> None:
    (run / "checkpoint.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match="cannot be read"):
        load_checkpoint(run, host)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", 5),
        ("metrics", {"retrieve/ndcg@10": "high"}),
        ("candidates", "20"),
        ("seed", True),
        ("retrievers", "retrievers/0-cf"),
        ("retrievers", [1]),
        ("weights", None),
        ("report", []),
        ("spec", None),
        ("spec", {"items": "9"}),
    ],
)
def test_a_field_of_another_type_is_refused(run: Path, host: PluginHost, name: str, value: object) -> None:
    if isinstance(value, dict) and name == "spec":
        value = json.loads((run / "checkpoint.json").read_text())["spec"] | value
    edit(run, **{name: value})
    with pytest.raises(DataError, match=r"checkpoint\.json: cannot be read \(TypeError: .*\n.*train the model again"):
        load_checkpoint(run, host)


def test_another_format_is_refused(run: Path, host: PluginHost) -> None:
    edit(run, format_version=99)
    with pytest.raises(DataError, match="has format 99; this honeyguide reads 2"):
        load_checkpoint(run, host)


def test_an_unknown_field_is_named(run: Path, host: PluginHost) -> None:
    edit(run, extra=1)
    with pytest.raises(DataError, match="with fields extra missing or unknown"):
        load_checkpoint(run, host)


def test_a_description_is_read_without_torch(run: Path):
    program = (
        "import sys; from honeyguide.training.runs.checkpoint import read_checkpoint\n"
        f"assert read_checkpoint({str(run)!r}).epochs == 12\n"
        "assert not {'torch', 'safetensors', 'lightning', 'polars'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
