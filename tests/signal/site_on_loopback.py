# SPDX-License-Identifier: Apache-2.0
"""A real HTTP server on loopback that answers as it is told and remembers what it was asked."""
import http.server
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        site = self.server.site
        with site.lock:
            site.active += 1
            site.most_active = max(site.most_active, site.active)
            site.requests.append((self.path, dict(self.headers.items()), time.monotonic()))
        try:
            answer = site.routes.get(self.path.split('?')[0])
            if answer is None:
                self.answer(404, b'nothing here')
            else:
                answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with site.lock:
                site.active -= 1

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


class Site:
    def __init__(self):
        self.routes, self.requests = {}, []
        self.lock = threading.Lock()
        self.active = self.most_active = 0
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
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
