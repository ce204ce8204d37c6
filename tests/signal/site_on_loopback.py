# SPDX-License-Identifier: Apache-2.0
"""A real HTTP server on loopback that answers as it is told and remembers what it was asked."""
import http.server
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        site = self.server.site
        host, began = self.headers.get('Host', '').rsplit(':', 1)[0], time.monotonic()
        with site.lock:
            site.active += 1
            site.most_active = max(site.most_active, site.active)
            site.requests.append((self.path, dict(self.headers.items()), began))
        try:
            path = self.path.split('?')[0]
            answer = site.routes.get((host, path)) or site.routes.get(path)
            if answer is None:
                self.answer(404, b'nothing here')
            else:
                answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with site.lock:
                site.active -= 1
                site.spans.append((host, path, began, time.monotonic()))

    def answer(self, status, body=b'', **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        if 'Content_Length' not in headers and status != 304:
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class Site:
    """Answers at `host` (127.0.0.1, or 0.0.0.0 for all of 127.0.0.0/8, each a site of its own). Routes are by path, or by
    (host, path). `spans` has host, path, and the moments between which each request was being answered."""

    def __init__(self, host='127.0.0.1'):
        self.routes, self.requests, self.spans = {}, [], []
        self.lock = threading.Lock()
        self.active = self.most_active = 0
        self.server = Server((host, 0), Handler)
        self.server.site = self
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
        self.thread.start()

    def url(self, path, host='127.0.0.1'):
        return f'http://{host}:{self.port}{path}'

    def serve(self, path, body, status=200, **headers):
        self.routes[path] = lambda h: h.answer(status, body, **headers)

    def asked(self, path):
        return [r for r in self.requests if r[0].split('?')[0] == path]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
