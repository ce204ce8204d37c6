# SPDX-License-Identifier: Apache-2.0
"""A chat completions server that behaves badly, in the way that its path names: /WAY/v1/chat/completions.

Prints its port on the first line. Ends when its standard input closes."""
import json
import os
import socket
import socketserver
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler

SCHEMA_TEXT = '{"b": [1, 2],\n "a": "line\\none"}'


def choice(text, reason="stop", part="message"):
    return {"choices": [{"index": 0, part: {"content": text}, "finish_reason": reason}]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def whole(self, body, status=200, kind="application/json", headers=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, value):
        self.chunk(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n")

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        way = self.path.split("/")[1]
        assert self.path.endswith("/v1/chat/completions"), self.path
        try:
            getattr(self, "way_" + way)(json.loads(sent))
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.close_connection = True

    # what it should be
    def way_plain(self, sent):
        self.whole(choice("hello") | {"usage": {"prompt_tokens": 11, "completion_tokens": 3}})

    def way_echo(self, sent):
        self.whole(choice(json.dumps({"sent": sent, "key": self.headers.get("Authorization", "")})))

    def way_stream(self, sent):
        self.events()
        self.event(choice(None, None, "delta"))
        for piece in ["he", "l", "l\u00f6", "\U0001f600"]:
            self.event(choice(piece, None, "delta"))
        self.event(choice("", "stop", "delta"))
        self.event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 4,
                                             "prompt_tokens_details": {"cached_tokens": 5}}})
        self.event(b"[DONE]")
        self.chunk(b"")

    def way_bytewise(self, sent):
        """A stream of events in chunks of one byte, with comments and CRLF."""
        self.events()
        data = b": ping\r\n\r\n" + b"".join(
            b"event: x\r\ndata:" + json.dumps(choice(p, None, "delta")).encode() + b"\r\n\r\n" for p in "abc")
        data += b"data: " + json.dumps(choice("d", "length", "delta")).encode() + b"\r\n\r\ndata: [DONE]"
        for i in range(len(data)):
            self.chunk(data[i:i + 1])
        self.chunk(b"")

    def way_schema(self, sent):
        self.whole(choice(SCHEMA_TEXT))

    # what it should not be
    def way_unsatisfied(self, sent):
        self.whole(choice('{"b": [1], "a": 5}'))

    def way_prose(self, sent):
        self.whole(choice("Sure! Here is your JSON."))

    def way_html(self, sent):
        self.whole(b"<html>not json \x00\xff</html>", kind="text/html")

    def way_empty(self, sent):
        self.whole(b"")

    def way_nochoice(self, sent):
        self.whole({"choices": []})

    def way_wrongtypes(self, sent):
        self.whole({"choices": {"message": [1]}, "usage": {"prompt_tokens": "many", "completion_tokens": -4}})

    def way_deep(self, sent):
        self.whole(b"[" * 100000)

    def way_half(self, sent):
        """The stream ends in the middle, without its last chunk."""
        self.events()
        self.event(choice("half a sen", None, "delta"))
        self.wfile.write(b"40\r\ndata: {\"choi")
        self.wfile.flush()

    def way_halfclean(self, sent):
        """The stream ends properly, but the text does not."""
        self.events()
        self.event(choice("half a sen", None, "delta"))
        self.chunk(b"")

    def way_halfplain(self, sent):
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(json.dumps(choice("hello")).encode())

    def way_reset(self, sent):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def way_silent(self, sent):
        time.sleep(60)

    def way_drip(self, sent):
        """Alive, but never done."""
        self.events()
        for _ in range(600):
            self.event(choice("x", None, "delta"))
            time.sleep(0.1)

    def way_stall(self, sent):
        self.events()
        self.event(choice("x", None, "delta"))
        time.sleep(60)

    def way_endless(self, sent):
        self.events()
        while True:
            self.event(choice("x" * 5000, None, "delta"))

    def way_longline(self, sent):
        self.events()
        while True:
            self.chunk(b"data: " + b"x" * 50000)

    def way_hugeplain(self, sent):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        while True:
            self.wfile.write(b" " * 65536)

    def way_redirect(self, sent):
        self.whole(b"", 302, headers=[("Location", "http://127.0.0.1:%d/plain/v1/chat/completions" % PORT)])

    def way_errorevent(self, sent):
        self.events()
        self.event({"error": {"message": "out of\nmemory\u001b[31m", "code": 500}})
        self.chunk(b"")

    def way_filtered(self, sent):
        self.whole(choice("no", "content_filter"))

    def __getattr__(self, name):
        if name.startswith("way_status"):
            code = int(name[len("way_status"):])
            return lambda sent: self.whole({"error": {"message": "because %d" % code}}, code)
        raise AttributeError(name)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Handler)
PORT = server.server_address[1]
threading.Thread(target=server.serve_forever, daemon=True).start()
print(PORT, flush=True)
sys.stdin.read()
os._exit(0)
