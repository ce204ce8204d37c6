# SPDX-License-Identifier: Apache-2.0
"""The host's two listeners, met as a reader and an operator meet them: over real sockets."""
import http.client
import json
import os
import pathlib
import socket
import subprocess
import time

import pytest

SERVER = os.environ["TELEX_HTTP_SERVER"]


class Server:
    def __init__(self, root, **keys):
        args = [SERVER, str(root)] + [f"{k}={v}" for k, v in keys.items()]
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        assert line and line[0] == "ready", self.process.stderr.read()
        self.port, self.admin = int(line[1]), int(line[2])

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def event(self, seq, kind="dispatch", **fields):
        return self.say(f"event {seq} {kind} {json.dumps({'seq': seq, **fields})}")

    def stop(self):
        if self.process.poll() is None:
            try:
                self.say("stop")
            except BrokenPipeError:
                pass
        try:
            return self.process.wait(timeout=20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
                stream.close()


@pytest.fixture
def serve():
    servers = []

    def start(root, **keys):
        servers.append(Server(root, **keys))
        return servers[-1]

    yield start
    for server in servers:
        assert server.stop() == 0, "the server must leave no handle on the loop"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "site"
    (folder / "d" / "54e470").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "index.html").write_text("<!doctype html><title>front</title>")
    (folder / "d" / "54e470" / "index.html").write_text("<!doctype html><title>dispatch</title>")
    (folder / "feed.json").write_text("{}")
    (folder / "feed.rss").write_text("<rss/>")
    (folder / "assets" / "site.css").write_text("body{}" * 400)
    (folder / ".secret").write_text("no")
    (folder / "ü b.txt").write_text("umlaut")
    (tmp_path / "outside.txt").write_text("outside")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "up").symlink_to(tmp_path)
    return folder


def get(port, path, method="GET", headers=None, raw=False):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for key, value in (headers or {}).items():
        connection.putheader(key, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body if raw else body.decode()


class Stream:
    """One reader of /live that gives events as (id, kind, data); heartbeats count apart."""

    def __init__(self, port, after=None, last_event_id=None, buffer_bytes=None):
        self.socket = socket.socket()
        if buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        query = f"?after={after}" if after is not None else ""
        extra = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id is not None else ""
        self.socket.sendall(f"GET /live{query} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n".encode())
        self.raw, self.text, self.beats, self.ended = b"", "", 0, False
        while b"\r\n\r\n" not in self.raw:
            self.raw += self.socket.recv(4096)
        self.head, self.raw = self.raw.split(b"\r\n\r\n", 1)
        self.head = self.head.decode().lower()

    def _chunks(self):
        while b"\r\n" in self.raw:
            size, rest = self.raw.split(b"\r\n", 1)
            n = int(size, 16)
            if len(rest) < n + 2:
                return
            self.text += rest[:n].decode()
            self.raw = rest[n + 2:]
            if n == 0:
                self.ended = True

    def next(self):
        while True:
            self._chunks()
            if "\n\n" in self.text:
                block, self.text = self.text.split("\n\n", 1)
                fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
                if "event" not in fields:
                    self.beats += 1
                    continue
                return fields.get("id"), fields["event"], json.loads(fields["data"])
            if self.ended:
                return None
            more = self.socket.recv(65536)
            if not more:
                return None
            self.raw += more

    def take(self, n):
        return [self.next() for _ in range(n)]

    def close(self):
        self.socket.close()


# --- files ---------------------------------------------------------------------------------------

def test_a_page_comes_with_its_type_and_a_strict_policy(serve, root):
    server = serve(root)
    for path, kind in (("/", "text/html"), ("/d/54e470/", "text/html"), ("/feed.json", "application/feed+json"),
                       ("/feed.rss", "application/rss+xml"), ("/assets/site.css", "text/css")):
        status, headers, body = get(server.port, path)
        assert status == 200 and headers["content-type"].startswith(kind), path
        assert body
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert "immutable" in get(server.port, "/assets/site.css")[1]["cache-control"]
    assert get(server.port, "/")[1]["cache-control"] == "no-cache"
    assert get(server.port, "/%C3%BC%20b.txt")[2] == "umlaut"


def test_a_known_version_is_not_sent_again(serve, root):
    server = serve(root)
    tag = get(server.port, "/")[1]["etag"]
    for named in (tag, "W/" + tag, '"other", ' + tag, "*"):
        status, headers, body = get(server.port, "/", headers={"If-None-Match": named})
        assert (status, body) == (304, "") and headers["etag"] == tag, named
    assert get(server.port, "/", headers={"If-None-Match": '"other"'})[0] == 200
    fresh = root / "index.tmp"
    fresh.write_text("<!doctype html><title>fronT</title>")
    os.replace(fresh, root / "index.html")
    assert get(server.port, "/", headers={"If-None-Match": tag})[0] == 200


def test_head_sends_no_body_and_other_methods_are_refused(serve, root):
    server = serve(root)
    status, headers, body = get(server.port, "/", method="HEAD")
    assert (status, body) == (200, "") and int(headers["content-length"]) > 0
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        status, headers, _ = get(server.port, "/", method=method)
        assert status == 405 and headers["allow"] == "GET, HEAD", method


@pytest.mark.parametrize("path", [
    "/../outside.txt", "/%2e%2e/outside.txt", "/d/../../outside.txt", "/d/%2e%2e%2f%2e%2e%2foutside.txt",
    "/..%2foutside.txt", "/..%5coutside.txt", "/link.txt", "/up/outside.txt", "/.secret", "/%2esecret",
    "/d//54e470/", "//outside.txt", "/index.html%00.txt", "/%00", "/index.html/", "/index.html/x", "/%",
    "/%4", "/%zz", "/" + "a" * 300, "/" + "a/" * 40, "/" + "%41" * 3000, "/%0d%0aSet-Cookie:x", "/~root/",
    "/" + "..;/" * 5 + "outside.txt", "/.", "/..", "/d/.", "/%c0%ae%c0%ae/outside.txt"])
def test_no_path_leads_out_of_the_root(serve, root, path):
    server = serve(root)
    status, headers, body = get(server.port, path, raw=True)
    assert status in (404, 400, 414), (path, status)
    assert b"outside" not in body.replace(path.encode(), b"") and "set-cookie" not in headers


def test_a_folder_without_its_slash_is_redirected_on_this_host_only(serve, root):
    server = serve(root)
    status, headers, _ = get(server.port, "/d/54e470")
    assert (status, headers["location"]) == (301, "/d/54e470/")
    (root / "evil.example").mkdir()
    assert get(server.port, "//evil.example")[0] == 404


def test_a_packed_file_is_served_only_to_those_who_take_it_and_only_when_fresh(serve, root):
    import gzip
    css = root / "assets" / "site.css"
    packed = root / "assets" / "site.css.gz"
    packed.write_bytes(gzip.compress(css.read_bytes(), mtime=0))
    server = serve(root)
    plain = get(server.port, "/assets/site.css")
    assert "content-encoding" not in plain[1] and plain[1]["vary"] == "Accept-Encoding"
    status, headers, body = get(server.port, "/assets/site.css", headers={"Accept-Encoding": "br, gzip"}, raw=True)
    assert headers["content-encoding"] == "gzip" and gzip.decompress(body) == css.read_bytes()
    assert headers["content-type"].startswith("text/css") and headers["etag"] != plain[1]["etag"]
    assert "content-encoding" not in get(server.port, "/assets/site.css", headers={"Accept-Encoding": "gzip;q=0"})[1]
    os.utime(packed, (1, 1))
    assert "content-encoding" not in get(server.port, "/assets/site.css", headers={"Accept-Encoding": "gzip"})[1]


def test_the_site_s_own_not_found_page_is_used(serve, root):
    server = serve(root)
    assert get(server.port, "/nothing")[0] == 404
    (root / "404.html").write_text("<title>not here</title>")
    status, headers, body = get(server.port, "/nothing")
    assert status == 404 and "not here" in body and headers["content-type"].startswith("text/html")


def test_before_a_site_is_registered_the_listener_says_so(serve):
    server = serve("-")
    status, _, body = get(server.port, "/")
    assert status == 404 and "Nothing is published" in body


def test_a_port_in_use_is_named_with_its_key(serve, root):
    server = serve(root)
    for key, name in (("port", "http.public.port"), ("admin_port", "http.admin.port")):
        second = subprocess.run([SERVER, str(root), f"{key}={server.port}"], capture_output=True, text=True,
                                stdin=subprocess.DEVNULL, timeout=20)
        assert second.returncode == 1
        assert name in second.stderr and str(server.port) in second.stderr and "in use" in second.stderr


def test_garbage_on_the_socket_does_not_stop_the_server(serve, root):
    server = serve(root)
    for garbage in (b"\x00" * 100, b"GET", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000,
                    b"GET http://other/ HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(3000) + b"\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=1) as client:
            try:
                client.sendall(garbage)
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass
            except OSError:
                pass
        assert get(server.port, "/")[0] == 200


# --- events --------------------------------------------------------------------------------------

def test_a_reader_is_greeted_and_told_of_each_event_once(serve, root):
    server = serve(root)
    stream = Stream(server.port)
    assert "text/event-stream" in stream.head and "no-store" in stream.head and "x-accel-buffering: no" in stream.head
    assert stream.next() == ("e1-0", "hello", {"epoch": "e1", "seq": 0})
    server.event(1, headline="one")
    server.event(1, headline="one again")
    server.event(2, "kill", headline="two")
    assert stream.next() == ("e1-1", "dispatch", {"seq": 1, "headline": "one"})
    assert stream.next() == ("e1-2", "kill", {"seq": 2, "headline": "two"})
    stream.close()


@pytest.mark.parametrize("how", ["header", "query", "query without epoch"])
def test_a_reader_that_comes_back_gets_exactly_what_it_missed(serve, root, how):
    server = serve(root)
    for seq in range(1, 11):
        server.event(seq)
    stream = {"header": lambda: Stream(server.port, last_event_id="e1-7"),
              "query": lambda: Stream(server.port, after="e1-7"),
              "query without epoch": lambda: Stream(server.port, after="7")}[how]()
    assert [e[2]["seq"] for e in stream.take(4)] == [7, 8, 9, 10]
    server.event(11)
    assert stream.next()[2]["seq"] == 11
    stream.close()


def test_the_header_of_a_reconnect_outranks_the_address_of_the_page(serve, root):
    server = serve(root)
    for seq in range(1, 11):
        server.event(seq)
    stream = Stream(server.port, after="2", last_event_id="e1-9")
    assert [e[2]["seq"] for e in stream.take(2)] == [9, 10]
    stream.close()


@pytest.mark.parametrize("cursor", ["e0-3", "e1-99", "nonsense", "e1-", "-5", "e1--5", "e1-99999999999999999999999"])
def test_a_cursor_of_another_history_is_reset(serve, root, cursor):
    server = serve(root)
    for seq in range(1, 6):
        server.event(seq)
    stream = Stream(server.port, last_event_id=cursor)
    assert [e[1] for e in stream.take(2)] == ["hello", "reset"]
    server.event(6)
    assert stream.next()[2]["seq"] == 6
    stream.close()


def test_what_the_ring_no_longer_holds_comes_from_the_journal(serve, root, tmp_path):
    journal = tmp_path / "journal"
    journal.write_text("".join(f'{s} dispatch {{"seq": {s}}}\n' for s in range(1, 201)))
    server = serve(root, journal=journal, last_seq=150, ring=8)
    for seq in range(151, 201):
        server.event(seq)
    stream = Stream(server.port, after="20")
    assert [e[2]["seq"] for e in stream.take(181)][1:] == list(range(21, 201))
    server.event(201)
    assert stream.next()[2]["seq"] == 201
    stream.close()


def test_a_reader_further_behind_than_the_limit_is_reset(serve, root, tmp_path):
    journal = tmp_path / "journal"
    journal.write_text("".join(f'{s} dispatch {{"seq": {s}}}\n' for s in range(1, 101)))
    server = serve(root, journal=journal, last_seq=100, ring=8, replay_max=50)
    near, far = Stream(server.port, after="60"), Stream(server.port, after="20")
    assert [e[2]["seq"] for e in near.take(41)] == list(range(60, 101))
    assert [e[1] for e in far.take(2)] == ["hello", "reset"]
    near.close(), far.close()


def test_without_a_journal_an_old_cursor_is_reset(serve, root):
    server = serve(root, ring=4)
    for seq in range(1, 21):
        server.event(seq)
    stream = Stream(server.port, after="3")
    assert [e[1] for e in stream.take(2)] == ["hello", "reset"]
    stream.close()


def test_a_quiet_stream_has_a_heartbeat(serve, root):
    server = serve(root, heartbeat_ms=50)
    stream = Stream(server.port)
    stream.next()
    time.sleep(0.5)
    server.event(1)
    stream.next()
    assert stream.beats >= 3
    stream.close()


def test_a_slow_reader_holds_nobody_up_and_is_reset(serve, root):
    server = serve(root, ring=16)
    slow = Stream(server.port, buffer_bytes=4096)
    quick = Stream(server.port)
    quick.next()
    filler = "x" * 20000
    for seq in range(1, 401):
        server.event(seq, filler=filler)
        assert quick.next()[2]["seq"] == seq
    assert get(server.port, "/")[0] == 200
    kinds = []
    while "reset" not in kinds:
        event = slow.next()
        kinds.append(event[1])
    assert kinds[0] == "hello"
    server.event(401)
    assert slow.next()[2]["seq"] == 401
    slow.close(), quick.close()


def test_too_many_readers_are_asked_to_wait_and_pages_still_come(serve, root):
    server = serve(root, streams=5)
    readers = [Stream(server.port) for _ in range(5)]
    for reader in readers:
        reader.next()
    status, headers, body = get(server.port, "/live")
    assert status == 200 and "retry: 60000" in body and headers["content-type"] == "text/event-stream"
    assert get(server.port, "/")[0] == 200
    for reader in readers:
        reader.close()


def test_one_address_cannot_take_every_place(serve, root):
    server = serve(root, streams=100, streams_address=2)
    readers = [Stream(server.port) for _ in range(2)]
    assert "retry: 60000" in get(server.port, "/live")[2]
    for reader in readers:
        reader.close()


def test_a_reader_that_left_makes_room(serve, root):
    server = serve(root, streams=1, heartbeat_ms=50)
    Stream(server.port).close()
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        stream = Stream(server.port)
        if "transfer-encoding: chunked" in stream.head:
            assert stream.next()[1] == "hello"
            stream.close()
            return
        stream.close()
        time.sleep(0.1)
    pytest.fail("the place was never given back")


def test_a_hundred_readers_get_every_event_in_order(serve, root):
    server = serve(root)
    readers = [Stream(server.port) for _ in range(100)]
    for seq in range(1, 21):
        server.event(seq)
    for reader in readers:
        assert [e[2]["seq"] for e in reader.take(21)] == list(range(0, 21))
        reader.close()


def test_an_event_that_would_break_the_framing_is_refused(serve, root):
    server = serve(root)
    assert server.say("event 1 bad:kind {}") == "event -22"
    assert server.say("event 1 dispatch {}\r") == "event -22"


def test_stopping_ends_the_streams_cleanly(serve, root):
    server = serve(root)
    readers = [Stream(server.port) for _ in range(10)]
    for reader in readers:
        reader.next()
    server.say("stop")
    for reader in readers:
        assert reader.next() is None
        reader.close()


# --- the operator's listener ---------------------------------------------------------------------

def test_health_and_metrics_come_from_the_host(serve, root):
    server = serve(root)
    get(server.port, "/")
    status, headers, body = get(server.admin, "/healthz")
    assert status == 503 and json.loads(body)["status"] == "degraded"
    status, headers, body = get(server.admin, "/metrics")
    assert status == 200 and headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith("# EOF\n") and "telex_test 1" in body and "telex_http_requests_total 3" in body
    status, headers, body = get(server.admin, "/")
    assert status == 200 and "/metrics" in body and headers["content-type"].startswith("text/html")
    assert get(server.admin, "/nothing")[0] == 404


def test_the_operator_s_pages_are_not_on_the_public_port_nor_for_foreign_names(serve, root):
    server = serve(root)
    assert get(server.port, "/metrics")[0] == 404 and get(server.port, "/healthz")[0] == 404

    def host(name):
        with socket.create_connection(("127.0.0.1", server.admin), timeout=20) as client:
            client.sendall(f"GET /metrics HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            return int(client.recv(100).split()[1])
    assert host("attacker.example") == 403 and host("attacker.example:80") == 403
    assert host("localhost:1") == 200 and host("127.0.0.1:9") == 200 and host("[::1]:9") == 200
