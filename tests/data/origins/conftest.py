"""Small tables on disk, and sources opened afresh."""

import io

import pytest
from PIL import Image

from tlj.data import sources
from tlj.data.settings import DataSettings


@pytest.fixture
def opened():
    """Opens a source: ``opened("csv", path, text=("title",))``; the label column and the rest are settings."""

    def open_it(scheme, argument, **settings):
        return sources.open_source(DataSettings(f"{scheme}:{argument}", **settings))

    return open_it


@pytest.fixture
def written(tmp_path):
    """Writes a file of text or bytes below the folder of the test: ``written("a.csv", "text,label\\n")``."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture(scope="session")
def png():
    """Makes the bytes of a tiny image of one colour, another for every number."""

    def make(number):
        buffer = io.BytesIO()
        Image.new("RGB", (5, 4), (number % 256, number // 256, 7)).save(buffer, "PNG")
        return buffer.getvalue()

    return make


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path_factory, monkeypatch):
    """No test finds what another kept or opened."""
    sources._open.cache_clear()
    monkeypatch.setenv("TLJ_CACHE", str(tmp_path_factory.mktemp("cache")))
