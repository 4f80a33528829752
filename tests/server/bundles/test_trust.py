"""Bundles serve when a trusted key has signed them, where that is required, and when they are those that are pinned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from bundles import rewrite_manifest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import MANIFEST, SIGNATURE, read_manifest
from honeyguide.sdk.signatures import SigningKey, new_key
from honeyguide.server.bundles.repository import BundleState, Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.bundles.trust import Trust
from honeyguide.v1 import model_service_pb2 as pb


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file of one trusted key, "release"; the private one lies beside it."""
    (tmp_path / "trusted.toml").write_text(new_key("release", tmp_path / "release.pem"), "utf-8")
    return tmp_path / "trusted.toml"


def sign(keys: Path, folder: Path) -> None:
    key = SigningKey.read(keys.parent / "release.pem")
    (folder / SIGNATURE).write_bytes(key.sign((folder / MANIFEST).read_bytes()))


async def test_only_signed_bundles_serve_where_it_is_required(start: Any, repository: Path, keys: Path) -> None:
    sign(keys, repository / "tiny" / "1")
    async with start(repository, trusted_keys=keys, require_signature=True) as running:
        signed, unsigned = (await running.models.ListModels(pb.ListModelsRequest())).models
        assert (signed.name, signed.state, signed.signer) == ("tiny", pb.MODEL_STATE_SERVING, "release")
        assert (unsigned.state, unsigned.signer) == (pb.MODEL_STATE_FAILED, "")
        assert unsigned.problem == "tiny_ranker/1 is not signed: export it with --sign-key"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.models.LoadModel(pb.LoadModelRequest(name="tiny_ranker"))
        info = ErrorInfo()
        rpc_status.from_call(caught.value).details[0].Unpack(info)  # type: ignore[union-attr]
        assert info.reason == "UNTRUSTED_BUNDLE"
        sign(keys, repository / "tiny_ranker" / "1")
        loaded = (await running.models.LoadModel(pb.LoadModelRequest(name="tiny_ranker"))).model
        assert (loaded.signer, loaded.problem, loaded.last_error) == ("release", "", "")


def test_manifest_changed_by_somebody_with_a_purpose_is_refused(repository: Path, keys: Path, host: PluginHost) -> None:
    folder = repository / "tiny" / "1"
    sign(keys, folder)
    rewrite_manifest(folder, candidates=300)  # its digest fits
    assert read_manifest(folder).candidates == 300
    served = Repository(repository, host, Runtime(1, 1), trust=Trust(keys))
    served.load_newest()
    tiny, ranker = served.entries()
    assert (tiny.state, ranker.state, ranker.signer) == (BundleState.FAILED, BundleState.SERVING, "")
    assert tiny.problem == (
        "tiny/1: its signature is wrong: the manifest was changed after it was signed; export the model again"
    )


def test_keys_come_and_go_while_it_serves(repository: Path, keys: Path, host: PluginHost) -> None:
    sign(keys, repository / "tiny" / "1")
    served = Repository(repository, host, Runtime(1, 1), trust=Trust(keys, required=True))
    served.load_newest()
    trusted = keys.read_text("utf-8")
    keys.write_text(new_key("newer", keys.parent / "newer.pem"), "utf-8")
    with pytest.raises(Exception, match="is not trusted; trusted are: newer"):
        served.load("tiny")
    entry = served.entry("tiny")
    assert (entry.state, entry.signer) == (BundleState.SERVING, "release")  # as it was loaded
    assert "is not trusted; trusted are: newer" in entry.last_error
    keys.write_text("", "utf-8")
    with pytest.raises(Exception, match="the file of trusted keys cannot be read; see the server's log"):
        served.load("tiny")
    keys.write_text(trusted, "utf-8")
    served.load("tiny")
    assert served.entry("tiny").last_error == ""


def test_requiring_what_nobody_can_give_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="require_signature is set and trusted_keys is not"):
        Trust(None, required=True)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Trust(tmp_path / "none")


async def test_digest_that_is_pinned_is_served_or_nothing_new(start: Any, repository: Path, add_version: Any) -> None:
    add_version(repository)
    first, second = (read_manifest(repository / "tiny" / version).digest for version in "12")
    async with start(repository) as running:

        async def load(digest: str) -> pb.Model:
            request = pb.LoadModelRequest(name="tiny", version=1, digest=digest)
            return (await running.models.LoadModel(request)).model

        with pytest.raises(grpc.aio.AioRpcError, match=f"tiny/1 has digest {first}, not {second}"):
            await load(second)
        with pytest.raises(grpc.aio.AioRpcError, match="digest is 'ab'; allowed: 64 hexadecimal digits"):
            await load("ab")
        got = (await running.models.GetModel(pb.GetModelRequest(name="tiny"))).model
        assert (got.version, got.digest) == (2, second)
        assert (await running.models.GetModel(pb.GetModelRequest(name="tiny", version=1))).model.last_error == ""
        assert (await load(first)).digest == first
