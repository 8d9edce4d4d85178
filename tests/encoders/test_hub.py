"""Models by their name, against a hub that runs here: the same protocol over real HTTP, with small files."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
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
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hub")
    bert = save_bert(folder / "shop" / "bert-toko")
    save_sentence_transformer(folder / "sentence-transformers" / "paraphrase-toko", bert)
    (folder / "sentence-transformers" / "paraphrase-toko" / "onnx").mkdir()
    (folder / "sentence-transformers" / "paraphrase-toko" / "onnx" / "model.onnx").write_bytes(b"large")
    (bert / "pytorch_model.bin").write_bytes(b"the same again, and large")
    save_vit(folder / "shop" / "vit-toko")
    model = timm.create_model("resnet18", pretrained=False)
    (folder / "timm" / "resnet18.a1_in1k").mkdir(parents=True)
    torch.save(model.state_dict(), folder / "timm" / "resnet18.a1_in1k" / "pytorch_model.bin")
    Hub.folder, Hub.asked = folder, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


OPEN = """
import json, sys
from kembar.encoders.registry import open_encoder

for spec in sys.argv[1:]:
    try:
        encoder = open_encoder(spec, device="cpu")
        line = f"{encoder.name} {encoder.dimension} {encoder.fingerprint}"
    except Exception as error:
        line = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps(line) + "\\n")
"""
KNOWN = {"st:paraphrase-toko": 16, "st:shop/bert-toko": 16, "hf:shop/vit-toko": 16, "timm:resnet18": 512}


def opened(specs: list[str], endpoint: str, home: Path) -> list[str]:
    """Open encoders in a process that knows this hub only; what each is, or its error."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", OPEN, *specs]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=True)
    assert "Retrying" not in done.stderr, "nobody waits for an answer that does not come"
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_models_are_downloaded_once_and_then_need_no_hub(hub: str, tmp_path: Path) -> None:
    first = opened([*KNOWN, "st:shop/no-such"], hub, tmp_path)
    for line, (spec, dimension) in zip(first, KNOWN.items(), strict=False):
        assert line.startswith(f"{spec} {dimension} "), line
    assert first[-1].startswith("EncoderError: model 'shop/no-such', which the hub does not have")
    assert "'st:/path/to/folder'" in first[-1]
    fetched = [path for path in Hub.asked if "/resolve/" in path]
    assert {path.partition("/resolve/")[0] for path in fetched} == {
        "/sentence-transformers/paraphrase-toko",
        "/shop/bert-toko",
        "/shop/vit-toko",
        "/timm/resnet18.a1_in1k",
    }
    assert not [path for path in fetched if "onnx" in path or ("bert" in path and path.endswith(".bin"))]

    others = ["timm:resnet34", "st:paraphrase-xlm-r-multilingual-v1", "hf:facebook/dinov2-small"]
    again = opened([*KNOWN, *others], "http://127.0.0.1:9", tmp_path)
    assert again[:4] == first[:4]
    for line, (spec, fix) in zip(
        again[4:],
        {
            "timm/resnet34.a1_in1k": "'timm:resnet34@/path/to/model.safetensors'",
            "paraphrase-xlm-r-multilingual-v1": "'st:/path/to/folder'",
            "facebook/dinov2-small": "'hf:/path/to/folder'",
        }.items(),
        strict=True,
    ):
        assert line.startswith(f"EncoderError: model {spec!r}, which is not in the local cache"), line
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
