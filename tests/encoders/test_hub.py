"""Models by their name, against a hub that runs here: the same protocol over real HTTP, with small files."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kembar.encoders.hub import weights_in
from kembar.errors import EncoderError
from tiny import save_bert, save_sentence_transformer, save_vit

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
pytest.importorskip("sentence_transformers")

COMMIT = "0" * 40


class Hub(BaseHTTPRequestHandler):
    """GET /api/models/NAME/tree/... and .../revision/..., HEAD and GET /NAME/resolve/COMMIT/FILE."""

    folder: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.asked.append(path)
        if path == "/":
            self.reply(b"a hub")
        elif path.startswith("/api/models/"):
            self.describe(path.removeprefix("/api/models/"))
        else:
            name, _, rest = path[1:].partition("/resolve/")
            file = self.folder / name / rest.partition("/")[2]
            self.reply(file.read_bytes()) if file.is_file() else self.fail("EntryNotFound")

    def describe(self, path: str) -> None:
        name = path.partition("/revision/")[0].partition("/tree/")[0]
        root = self.folder / name
        files = sorted(file for file in root.rglob("*") if file.is_file())
        if not files:
            self.fail("RepoNotFound")
        elif "/tree/" in path:
            entries = [
                {"type": "file", "path": str(file.relative_to(root)), "size": file.stat().st_size, "oid": COMMIT}
                for file in files
            ]
            self.reply(json.dumps(entries).encode())
        else:
            siblings = [{"rfilename": str(file.relative_to(root))} for file in files]
            self.reply(json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode())

    def reply(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def fail(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadingHTTPServer]:
    folder = tmp_path_factory.mktemp("hub")
    bert = save_bert(folder / "shop" / "bert-toko")
    save_sentence_transformer(folder / "sentence-transformers" / "paraphrase-toko", bert)
    (folder / "sentence-transformers" / "paraphrase-toko" / "onnx").mkdir()
    (folder / "sentence-transformers" / "paraphrase-toko" / "onnx" / "model.onnx").write_bytes(b"large")
    (bert / "pytorch_model.bin").write_bytes(b"the same again, and large")
    save_vit(folder / "shop" / "vit-toko")
    model = timm.create_model("test_resnet", pretrained=False)
    (folder / "timm" / "test_resnet.r160_in1k").mkdir(parents=True)
    torch.save(model.state_dict(), folder / "timm" / "test_resnet.r160_in1k" / "pytorch_model.bin")
    Hub.folder, Hub.asked = folder, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


OPEN = """
import json, sys
from kembar.encoders.registry import open_encoder

def told(spec):
    try:
        encoder = open_encoder(spec, device="cpu")
        return f"{encoder.name} {encoder.dimension} {encoder.fingerprint}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"

for line in sys.stdin:
    print(json.dumps([told(spec) for spec in json.loads(line)]), flush=True)
"""
KNOWN = {"st:paraphrase-toko": 16, "st:shop/bert-toko": 16, "hf:shop/vit-toko": 16, "timm:test_resnet": 96}


@pytest.fixture
def opened(hub: ThreadingHTTPServer, tmp_path: Path) -> Iterator[Callable[[list[str]], list[str]]]:
    """Open encoders in a process that knows this hub only; what each is, or its error."""
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    asks, answers = process.stdin, process.stdout

    def call(specs: list[str]) -> list[str]:
        asks.write(json.dumps(specs) + "\n")
        asks.flush()
        return json.loads(answers.readline())

    yield call
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert "Retrying" not in errors, "nobody waits for an answer that does not come"


def test_models_are_downloaded_once_and_then_need_no_hub(
    hub: ThreadingHTTPServer, opened: Callable[[list[str]], list[str]]
) -> None:
    first = opened([*KNOWN, "st:shop/no-such"])
    for line, (spec, dimension) in zip(first, KNOWN.items(), strict=False):
        assert line.startswith(f"{spec} {dimension} "), line
    assert first[-1].startswith("EncoderError: model 'shop/no-such', which the hub does not have")
    assert "'st:/path/to/folder'" in first[-1]
    fetched = [path for path in Hub.asked if "/resolve/" in path]
    assert {path.partition("/resolve/")[0] for path in fetched} == {
        "/sentence-transformers/paraphrase-toko",
        "/shop/bert-toko",
        "/shop/vit-toko",
        "/timm/test_resnet.r160_in1k",
    }
    assert not [path for path in fetched if "onnx" in path or ("bert" in path and path.endswith(".bin"))]

    hub.shutdown()
    hub.server_close()
    others = {
        "timm:resnet34": ("timm/resnet34.a1_in1k", "'timm:resnet34@/path/to/model.safetensors'"),
        "st:paraphrase-xlm-r-multilingual-v1": ("paraphrase-xlm-r-multilingual-v1", "'st:/path/to/folder'"),
        "hf:facebook/dinov2-small": ("facebook/dinov2-small", "'hf:/path/to/folder'"),
    }
    again = opened([*KNOWN, *others])
    assert again[:4] == first[:4]
    for line, (name, fix) in zip(again[4:], others.values(), strict=True):
        assert line.startswith(f"EncoderError: model {name!r}, which is not in the local cache"), line
        assert fix in line
        assert "\n" not in line


def test_weights_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="none"):
        weights_in(tmp_path)
    (tmp_path / "config.json").touch()
    (tmp_path / "some.pth").touch()
    assert weights_in(tmp_path).name == "some.pth"
    (tmp_path / "other.safetensors").touch()
    with pytest.raises(EncoderError, match=r"2 possible files: other\.safetensors, some\.pth"):
        weights_in(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert weights_in(tmp_path).name == "model.safetensors"
