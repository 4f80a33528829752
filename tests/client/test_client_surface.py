"""The client's surface: what it exports and how little it loads."""

from __future__ import annotations

import subprocess
import sys

import honeyguide.client
from honeyguide.cli.connection import DEFAULT_SERVER
from honeyguide.client.channel import DEFAULT_TARGET


def test_importing_the_client_loads_nothing_heavy():
    heavy = "numpy torch onnxruntime faiss polars pyarrow typer honeyguide.sdk honeyguide.server honeyguide.training"
    code = f"import sys, honeyguide.client; print(*set({heavy!r}.split()) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_exported_names_are_sorted_and_frozen():
    assert honeyguide.client.__all__ == sorted(honeyguide.client.__all__)
    assert " ".join(honeyguide.client.__all__) == (
        "AsyncClient BatchAnswer BecauseItem CancelledError ChangedTraffic Client ClientStateError DeadlineError "
        "DeletedItems Event FailedPreconditionError History HoneyguideClientError InputError InternalError "
        "InvalidArgumentError Item LoadedModel Model ModelChangedError ModelVersion NewItem NotFoundError "
        "OverCapacityError Pipeline PlacingFailure Plugin Ranked Ranking Recommendations Recorded RejectedEvent "
        "ResumeError RetryPolicy RoleRequiredError RowFailure SimilarItems Tls Traffic UnauthenticatedError "
        "UnavailableError UnimplementedError UpsertedItems UserRow"
    )


def test_client_and_command_line_agree_on_the_default_server():
    assert DEFAULT_SERVER == DEFAULT_TARGET
