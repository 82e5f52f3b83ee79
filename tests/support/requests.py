"""What tests send to a server, and what they read of its answer."""

import base64
import http.client
import json


def b64(data):
    """Bytes as TensorFlow Serving's JSON has them."""
    return {"b64": base64.b64encode(data).decode()}


def headers_of(port, method, path, headers=None):
    """(status, headers, bytes) of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, None, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def ask(port, method, path, body=None, headers=None):
    """(status, JSON or bytes) of a request to 127.0.0.1; a dict is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        if isinstance(body, dict):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content = response.read()
        if response.headers.get_content_type() == "application/json":
            content = json.loads(content)
        return response.status, content
    finally:
        connection.close()
