"""Tells as JSON how Python reads a request, in the ways that applications do. See reader_test.go."""

import json
import sys
import urllib.parse
from http.server import ThreadingHTTPServer
from wsgiref.simple_server import WSGIRequestHandler

NAMES = ["siteId", "tenant_id"]


def params(of):
    return {name: [v for n, v in of if n == name] for name in NAMES}


def numbers(of, *convert):
    """As numbers. What is none stays as it is."""

    def number(text):
        try:
            return str(convert[0](text, *convert[1:]))
        except ValueError:
            return text

    return {name: [number(v) for v in values] for name, values in params(of).items()}


class Reader(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self):
        self.close_connection = True
        self.handle_one_request()
        while not self.close_connection:
            self.handle_one_request()

    def handle_one_request(self):
        self.raw_requestline = self.rfile.readline(1 << 20)
        if not self.raw_requestline:
            self.close_connection = True
            return
        if self.parse_request():
            self.read()

    def read(self):
        split = urllib.parse.urlsplit(self.path)
        environ = self.get_environ()
        pairs = urllib.parse.parse_qsl(split.query, keep_blank_values=True)
        method = self.command
        overridden = method
        for name in ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_METHOD_OVERRIDE"):
            overridden = environ.get(name, overridden)
        text = json.dumps(
            {
                "paths": {
                    "urlsplit, unquote": urllib.parse.unquote(split.path),
                    "urlparse, unquote": urllib.parse.unquote(urllib.parse.urlparse(self.path).path),
                    "PATH_INFO": environ["PATH_INFO"].encode("iso-8859-1").decode("utf-8", "replace"),
                },
                "params": {
                    "urlsplit, parse_qsl": params(pairs),
                    "int": numbers(pairs, int),
                    "int, any base": numbers(pairs, int, 0),
                    "QUERY_STRING, parse_qsl": params(urllib.parse.parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)),
                    # As Python did until 2021, and others do.
                    "parse_qsl, ';' for '&'": params(urllib.parse.parse_qsl(split.query.replace(";", "&"), keep_blank_values=True)),
                },
                "hosts": {"Host": self.headers.get("Host", "")},
                "methods": {"command": method, "with overrides": overridden},
            }
        ).encode()
        length = int(self.headers.get("Content-Length") or 0)
        if length:
            self.rfile.read(length)
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def address_string(self):
        return self.client_address[0]

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    base_environ = {}
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Reader).serve_forever()
