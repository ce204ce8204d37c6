# SPDX-License-Identifier: Apache-2.0
"""A real browser, driven over its DevTools socket with nothing but the standard library."""
import base64
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find():
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="telex-browser-")
        self.process = subprocess.Popen(
            [find(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--remote-debugging-port=0",
             f"--user-data-dir={self.folder}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        deadline = time.monotonic() + 60
        for line in self.process.stderr:
            found = re.search(r"ws://127\.0\.0\.1:(\d+)(/\S+)", line)
            if found or time.monotonic() > deadline:
                break
        self.stream = Socket(int(found[1]), found[2])

    def page(self, **settings):
        return BrowserPage(self.stream, **settings)

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stderr.close()
        self.stream.socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Socket:
    """The client side of one WebSocket, enough for DevTools."""

    def __init__(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Key: dGVsZXgtdGVzdHMtLS0tLQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.data += self.socket.recv(4096)
        self.data = self.data.split(b"\r\n\r\n", 1)[1]
        self.number, self.events = 0, []

    def _take(self, n):
        while len(self.data) < n:
            more = self.socket.recv(1 << 20)
            assert more, "the browser went away"
            self.data += more
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def _receive(self):
        text = b""
        while True:
            first, size = self._take(2)
            size &= 0x7f
            if size == 126:
                size = struct.unpack(">H", self._take(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self._take(8))[0]
            text += self._take(size)
            if first & 0x80:
                return json.loads(text)

    def _send(self, value):
        data, mask = json.dumps(value).encode(), os.urandom(4)
        size = bytes([0x80 | len(data)]) if len(data) < 126 else (
            bytes([0x80 | 126]) + struct.pack(">H", len(data)) if len(data) < 65536 else bytes([0x80 | 127]) + struct.pack(">Q", len(data)))
        self.socket.sendall(b"\x81" + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def ask(self, method, session=None, **params):
        self.number += 1
        self._send({"id": self.number, "method": method, "params": params, **({"sessionId": session} if session else {})})
        while True:
            message = self._receive()
            if message.get("id") == self.number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self.events.append(message)

    def wait_for(self, method, session):
        while True:
            for event in self.events:
                if event.get("method") == method and event.get("sessionId") == session:
                    self.events.remove(event)
                    return event["params"]
            self.events.append(self._receive())


class BrowserPage:
    def __init__(self, stream, width=1440, height=1000, scheme="light", scripts=True):
        self.stream = stream
        context = stream.ask("Target.createBrowserContext")["browserContextId"]
        self.target = stream.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = stream.ask("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Log", "Runtime", "Network", "Audits"):
            self.ask(domain + ".enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)

    def ask(self, method, **params):
        return self.stream.ask(method, self.session, **params)

    def open(self, url):
        self.ask("Page.navigate", url=url)
        self.stream.wait_for("Page.loadEventFired", self.session)

    def run(self, expression):
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression, seconds=20):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = self.run(expression)
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}")

    def screenshot(self, whole=False):
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    def complaints(self):
        """What the console says: errors, refused resources, policy violations."""
        self.run("1")
        found = []
        for event in self.stream.events:
            if event.get("sessionId") != self.session:
                continue
            if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] in ("error", "warning"):
                found.append(event["params"]["entry"]["text"])
            if event["method"] in ("Runtime.exceptionThrown", "Audits.issueAdded", "Network.loadingFailed"):
                found.append(json.dumps(event["params"])[:400])
        return found

    def close(self):
        self.stream.ask("Target.closeTarget", targetId=self.target)
