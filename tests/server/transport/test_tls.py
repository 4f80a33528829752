"""TLS: a client that trusts the certificate is answered, one without TLS is not, and a pair that is none is named.

`data/` holds a key and a self-signed certificate for localhost, good until 2126, of this test alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from honeyguide.client import AsyncClient
from honeyguide.sdk.errors import ConfigError
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RecommendRequest

DATA = Path(__file__).parent / "data"
CERTIFICATE, KEY = DATA / "certificate.pem", DATA / "key.pem"


async def test_who_trusts_the_certificate_is_answered_and_who_speaks_without_tls_is_not(start: Any) -> None:
    trusted = grpc.ssl_channel_credentials(CERTIFICATE.read_bytes())
    async with start(tls_certificate=CERTIFICATE, tls_key=KEY) as running:
        address = f"localhost:{running.server.port}"
        async with AsyncClient(address, credentials=trusted) as client:
            assert len(await client.recommend(history=["item-3"], k=4)) == 4
        assert "transport grpcio (tls_certificate is set" in running.server.summary()[-1]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.recommender.Recommend(RecommendRequest(history=History(item_ids=["item-3"])), timeout=5)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials()) as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
                await channel.unary_unary("/honeyguide.v1.ModelService/ListModels")(b"", timeout=5)


@pytest.mark.parametrize("transport", ["auto", "grpcio"])
@pytest.mark.parametrize(
    ("given", "unset"), [({"tls_key": KEY}, "tls_certificate"), ({"tls_certificate": CERTIFICATE}, "tls_key")]
)
async def test_half_of_the_pair_is_no_plain_text(
    start: Any, given: dict[str, Path], unset: str, transport: str
) -> None:
    with pytest.raises(ConfigError, match=f"{unset} is unset; TLS needs both"):
        async with start(transport=transport, **given):
            pass


async def test_a_file_that_is_not_there_or_holds_no_pair_is_named(start: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text(CERTIFICATE.read_text().replace("M", "N"))
    for certificate, key, message in (
        (tmp_path / "none.pem", KEY, "tls_certificate is .*none.pem', which cannot be read"),
        (CERTIFICATE, tmp_path, "tls_key is .*, which cannot be read"),
        (broken, KEY, "broken.pem' and tls_key .*key.pem' are no pair that TLS can use"),
        (CERTIFICATE, broken, "certificate.pem' and tls_key .*broken.pem' are no pair that TLS can use"),
        (KEY, CERTIFICATE, "are no pair that TLS can use"),
    ):
        with pytest.raises(ConfigError, match=message):
            async with start(tls_certificate=certificate, tls_key=key):
                pass
