"""A package index and an npm registry on loopback, with one package each, made on the spot."""

import base64
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "packages.test"
"""The name by which boxes know it."""
WHEEL = "greeting-1.0-py3-none-any.whl"


@cache  # the same bytes whenever it is asked for
def wheel() -> bytes:
    """A package with a module and a command."""
    files = {
        "greeting.py": "def say():\n    return 'hello from the wheel'\n\ndef main():\n    print(say())\n",
        "greeting-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
        "greeting-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "greeting-1.0.dist-info/entry_points.txt": "[console_scripts]\ngreet = greeting:main\n",
    }
    record = "".join(f"{name},,\n" for name in files) + "greeting-1.0.dist-info/RECORD,,\n"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in {**files, "greeting-1.0.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return made.getvalue()


@cache
def tarball() -> bytes:
    """The same for Node.js."""
    files = {
        "package/package.json": json.dumps(
            {"name": "salute", "version": "1.0.0", "main": "index.js", "bin": {"salute": "bin.js"}}
        ),
        "package/index.js": "module.exports = () => 'hello from the tarball'\n",
        "package/bin.js": "#!/usr/bin/env node\nconsole.log(require('./index.js')())\n",
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            info.mode = 0o755
            archive.addfile(info, io.BytesIO(text.encode()))
    return made.getvalue()


class Registry:
    """What was asked, and whether anything is answered."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken = False
        self.port = 0

    @property
    def url(self) -> str:
        """Its address, as boxes know it."""
        return f"http://{HOST}:{self.port}"

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """What is at a path."""
        self.asked.append(path)
        if self.broken:
            return None
        if path == "/simple/greeting/":
            digest = hashlib.sha256(wheel()).hexdigest()
            return "text/html", f'<a href="/files/{WHEEL}#sha256={digest}">{WHEEL}</a>'.encode()
        if path == f"/files/{WHEEL}":
            return "application/octet-stream", wheel()
        if path == "/salute":
            whole = tarball()
            dist = {
                "tarball": f"{self.url}/salute/-/salute-1.0.0.tgz",
                "shasum": hashlib.sha1(whole).hexdigest(),
                "integrity": "sha512-" + base64.b64encode(hashlib.sha512(whole).digest()).decode(),
            }
            version = {"name": "salute", "version": "1.0.0", "bin": {"salute": "bin.js"}, "dist": dist}
            packument = {"name": "salute", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
            return "application/json", json.dumps(packument).encode()
        if path == "/salute/-/salute-1.0.0.tgz":
            return "application/octet-stream", tarball()
        return None


@contextmanager
def registry() -> Generator[Registry]:
    """A registry for the length of a ``with``."""
    made = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = made.answer(self.path)
            self.send_response(200 if found else 404)
            kind, body = found or ("text/plain", b"no")
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
