"""Hub ids: the cache of huggingface_hub, built here in its own layout, and a hub of one's own on this machine."""

import http.server
import json
import threading
import time

import huggingface_hub
import pytest

from tlj.errors import InputError
from tlj.pretrained.hub import fetch, is_hub_id
from tlj.pretrained.locate import locate

SHA = "0123456789abcdef0123456789abcdef01234567"
SHARDS = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and no network."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


def put(cache, repository, files, revision="main", sha=SHA):
    """Puts a snapshot into the cache as huggingface_hub does: links into blobs, and a ref that names the commit."""
    root = cache / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / sha
    for folder in (root / "refs", root / "blobs", snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    (root / "refs" / revision).write_text(sha)
    for i, (name, content) in enumerate(files.items()):
        (root / "blobs" / f"{sha[:4]}{i}").write_text(content)
        (snapshot / name).symlink_to(f"../../blobs/{sha[:4]}{i}")
    return snapshot


@pytest.mark.parametrize("text", ["google/vit-base-patch16-224", "a/b.c_d", "timm/resnet18.a1_in1k", "a/b@refs/pr/3"])
def test_an_owner_and_a_name_are_a_hub_id(text):
    assert is_hub_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "bert-base-uncased",
        "a/b/c",
        "./a",
        "../a",
        ".a/b",
        "a/.b",
        "a/..",
        "a/b@../../c",
        "/a/b",
        "~/b",
        "a/b.npz",
        "a/",
    ],
)
def test_paths_and_names_without_an_owner_are_no_hub_ids(text):
    assert not is_hub_id(text)


@pytest.mark.parametrize(
    "weights",
    [
        {"model.safetensors": "x"},
        {"flax_model.msgpack": "x"},
        {"model.safetensors.index.json": json.dumps(SHARDS), **dict.fromkeys(SHARDS["weight_map"].values(), "x")},
    ],
)
def test_what_is_cached_is_found_without_the_network(cache, weights):
    snapshot = put(cache, "owner/model", {"config.json": "{}", **weights})
    assert locate("owner/model") == snapshot


def test_a_revision_has_a_snapshot_of_its_own(cache):
    files = {"config.json": "{}", "model.safetensors": "x"}
    first = put(cache, "owner/model", files)
    second = put(cache, "owner/model", files, "v2", SHA[::-1])
    assert fetch("owner/model") == fetch(f"owner/model@{SHA}") == first
    assert fetch("owner/model@v2") == second


def test_the_cache_below_hf_home_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    snapshot = put(tmp_path / "home" / "hub", "owner/model", {"config.json": "{}", "model.safetensors": "x"})
    assert fetch("owner/model") == snapshot


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"config.json": "{}"},
        {
            "config.json": "{}",
            "model.safetensors.index.json": json.dumps(SHARDS),
            "model-00001-of-00002.safetensors": "",
        },
    ],
)
def test_what_is_not_wholly_cached_is_refused_offline_at_once(cache, files):
    put(cache, "owner/model", files)
    with pytest.raises(InputError, match=r"no file or directory 'owner/model'.*HF_HUB_OFFLINE"):
        fetch("owner/model")


@pytest.fixture
def online(monkeypatch):
    """The network may be used."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    # huggingface_hub reads the variable when it is imported.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("online")
def test_a_hub_that_does_not_answer_is_told_at_once(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"fetching it failed.*check the network"):
        fetch("owner/model")


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub that holds the files of its class."""

    files = {}
    asked = []

    def answer(self):
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/owner/model/tree/"):
            rows = [{"type": "file", "path": n, "size": len(c), "oid": f"{n}-oid"} for n, c in self.files.items()]
            return json.dumps(rows).encode()
        if path in {f"/api/models/owner/model{end}" for end in ("", "/revision/main", f"/revision/{SHA}")}:
            siblings = [{"rfilename": name} for name in self.files]
            return json.dumps({"id": "owner/model", "sha": SHA, "siblings": siblings}).encode()
        name = path.rpartition("/")[2]
        if path.startswith("/owner/model/resolve/") and name in self.files:
            if self.command == "GET":
                self.asked.append(name)
            return self.files[name].encode()
        return None

    def do_GET(self):
        content = self.answer()
        self.send_response(404 if content is None else 200)
        if content is None:
            code = {"gated": "GatedRepo", "model": "RevisionNotFound"}.get(self.path.split("/")[4][:5], "RepoNotFound")
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", str(len(content or b"")))
        self.send_header("X-Repo-Commit", SHA)
        self.send_header("ETag", f'"{abs(hash(self.path.rpartition("/")[2]))}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content or b"")

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, online):
    """A hub on this machine that holds ``hub.files``; ``hub.asked`` is what was fetched from it."""
    handler = type("OwnHub", (Hub,), {"files": {}, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield handler
    server.shutdown()
    server.server_close()


def test_one_form_of_the_weights_is_fetched_once(hub, monkeypatch):
    hub.files = {
        **{name: name for name in ("config.json", "vocab.txt", "model.safetensors", "flax_model.msgpack")},
        **{name: name for name in ("pytorch_model.bin", "README.md", "model.fp16.safetensors")},
    }
    folder = fetch("owner/model")
    assert {file.name: file.read_text() for file in folder.iterdir()} == {
        name: name for name in ("config.json", "vocab.txt", "model.safetensors")
    }
    assert len(hub.asked) == 3
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch("owner/model") == folder


def test_shards_are_fetched_with_their_index(hub):
    shards = dict.fromkeys(SHARDS["weight_map"].values(), "x")
    hub.files = {"config.json": "{}", "model.safetensors.index.json": json.dumps(SHARDS), **shards, "other.bin": ""}
    assert {file.name for file in fetch("owner/model").iterdir()} == set(hub.files) - {"other.bin"}


def test_a_repository_of_pickles_alone_is_refused_before_anything_is_fetched(hub):
    hub.files = {"config.json": "{}", "pytorch_model.bin": "x"}
    with pytest.raises(InputError, match=r"but pytorch_model.bin; .*convert it to safetensors"):
        fetch("owner/model")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("owner/nothing", "no such model"),
        ("owner/gated", "accepted its terms"),
        ("owner/model@v9", "no revision 'v9'"),
        ("owner/a--b", "not a name that the hub allows|no such model"),
    ],
)
def test_what_the_hub_refuses_is_an_error_that_says_why(hub, source, message):
    hub.files = {"config.json": "{}"}
    with pytest.raises(InputError, match=message):
        fetch(source)


def test_what_another_program_left_out_of_the_cache_is_fetched_of_the_same_commit(cache, hub):
    snapshot = put(cache, "owner/model", {"config.json": "{}", "flax_model.msgpack": "x"})
    hub.files = {name: name for name in ("config.json", "model.safetensors", "preprocessor_config.json", "README.md")}
    assert fetch("owner/model") == snapshot
    assert hub.asked == ["preprocessor_config.json"]
    assert (snapshot / "preprocessor_config.json").read_text() == "preprocessor_config.json"
    assert fetch("owner/model") == snapshot
    assert hub.asked == ["preprocessor_config.json"]


@pytest.mark.usefixtures("online")
def test_weights_that_are_cached_alone_are_used_where_the_hub_does_not_answer(cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    # The library asks again and again, and waits longer each time.
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    snapshot = put(cache, "owner/model", {"config.json": "{}", "model.safetensors": "x"})
    assert fetch("owner/model") == snapshot
