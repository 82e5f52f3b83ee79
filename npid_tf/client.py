"""Asks a server of exported models, over REST or gRPC."""

import base64
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from npid_tf.checks.arguments import positive_number
from npid_tf.errors import MissingPackageError, UserError


class Client:
    """A client of `npid_tf.serve`, and of TensorFlow Serving on the same export.

    Searching and changing the index (`search`, `upsert`, `delete`) work with the former
    only, over REST. It needs neither TensorFlow nor Keras, but for gRPC.

    Args:
        address: `http://HOST:PORT` for REST or `grpc://HOST:PORT`.
        seconds: to wait for an answer.
        token: what the server asks for; None: that of the environment, NPID_API_TOKEN.

    Raises:
        ValueError: for another address; from all methods, what the server refuses, in
            its words.
        ConnectionError: from all methods, if nothing answers, or the server is
            too busy for one (try again).

    Example:

    >>> from npid_tf import Client
    >>> client = Client("http://localhost:8501", seconds=5)
    >>> client.embed([open("photo.jpg", "rb").read()]).shape  # doctest: +SKIP
    (1, 128)
    """

    def __init__(
        self, address: str, *, seconds: float = 30.0, token: str | None = None
    ):
        kind, _, rest = str(address).partition("://")
        if kind not in ("http", "https", "grpc") or not rest.strip("/"):
            raise UserError(
                "`address` must be http://HOST:PORT or grpc://HOST:PORT. Received: "
                f"{address!r}."
            )
        self._address = address.rstrip("/")
        self._seconds = positive_number("seconds", seconds)
        self._output_names: dict[tuple[str, str], str] = {}
        token = token or os.environ.get("NPID_API_TOKEN")
        self._authorization = None if not token else f"Bearer {token}"
        self._grpc = None
        if kind == "grpc":
            self._grpc = _Grpc(rest.rstrip("/"), seconds, self._authorization)

    def embed(self, images: np.ndarray | Iterable[bytes]) -> np.ndarray:
        """float32 [num_images, dim], unit length.

        images: uint8 array [num_images, height, width, 3], or a list with the bytes of
        each image file, JPEG, PNG, BMP or GIF.
        """
        inputs: dict[str, Any]
        if isinstance(images, np.ndarray):
            inputs, signature_name = {"images": images}, "serving_default"
        else:
            inputs, signature_name = {"image_bytes": list(images)}, "serving_bytes"
        outputs = self.predict("encoder", inputs, signature_name=signature_name)
        return outputs["embeddings"].astype(np.float32)

    def find_neighbors(self, files: Iterable[bytes]) -> dict[str, np.ndarray]:
        """The most similar training images of each image file, by exact search.

        files: list of bytes. Returns {name: array [num_files, ...]}: ids (row numbers),
        similarities and, if there are labels, class_probabilities.
        """
        return self.predict("neighbors", {"image_bytes": list(files)})

    def predict(
        self,
        model: str,
        inputs: Mapping[str, np.ndarray | list[bytes]],
        *,
        signature_name: str = "serving_default",
    ) -> dict[str, np.ndarray]:
        """Runs a signature: {name: array, or list of bytes} to {name: array}."""
        if self._grpc is not None:
            return self._grpc.predict(model, inputs, signature_name)
        body = {
            "signature_name": signature_name,
            "inputs": {name: _to_json(value) for name, value in inputs.items()},
        }
        outputs = self._ask("POST", f"/v1/models/{model}:predict", body)["outputs"]
        if not isinstance(outputs, dict):  # A single output comes without its name.
            outputs = {self._output_name(model, signature_name): outputs}
        return {name: np.asarray(value) for name, value in outputs.items()}

    def status(self, model: str) -> dict[int, str]:
        """{version: state} of a model, as {1: "AVAILABLE"}."""
        if self._grpc is not None:
            return self._grpc.status(model)
        answer = self._ask("GET", f"/v1/models/{model}")
        return {
            int(entry["version"]): entry["state"]
            for entry in answer["model_version_status"]
        }

    def search(
        self,
        files: Iterable[bytes] = (),
        ids: Iterable[str] = (),
        *,
        k: int = 10,
        threshold: float = -1.0,
    ) -> dict[str, Any]:
        """The k most similar items of the index, of each image file, then of each id.

        files: bytes of each image file. Returns a dict of `results`, for each query a
        list of dicts with id, similarity, label and thumbnail, and of `engine`.
        """
        images = [_to_json(file) for file in files]
        body = {"images": images, "ids": list(ids), "k": k, "threshold": threshold}
        return self._ask("POST", "/v1/search", body)

    def upsert(
        self, files: dict[str, bytes], labels: dict[str, str] | None = None
    ) -> None:
        """Puts images into the index: {id: bytes}, with labels {id: str}."""
        items = [
            {"id": name, "image": _to_json(file), "label": (labels or {}).get(name)}
            for name, file in files.items()
        ]
        self._ask("POST", "/v1/items", {"items": items})

    def delete(self, name: str) -> None:
        """Takes an item out of the index, by its id."""
        # In the query, which proxies pass on as it is; paths they rewrite.
        self._ask("DELETE", f"/v1/items?id={_quote(name)}")

    def thumbnail(self, name: str) -> bytes:
        """The bytes of a small PNG or JPEG of an item, by its id."""
        return self._ask("GET", f"/v1/thumbnail?id={_quote(name)}", parse=bytes)

    def _output_name(self, model, signature_name):
        if (model, signature_name) not in self._output_names:
            answer = self._ask("GET", f"/v1/models/{model}/metadata")
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            (name,) = signatures[signature_name]["outputs"]
            self._output_names[model, signature_name] = name
        return self._output_names[model, signature_name]

    def _ask(self, method, path, body=None, parse=json.loads):
        if self._grpc is not None:
            raise UserError(
                "This is asked over REST: Client('http://HOST:PORT'). Received: "
                f"{self._address}."
            )
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._address + path,
            data,
            {"content-type": "application/json"},
            method=method,
        )
        if self._authorization is not None:
            # Not sent on to where an answer might redirect to.
            request.add_unredirected_header("authorization", self._authorization)
        try:
            with urllib.request.urlopen(request, timeout=self._seconds) as answer:
                return parse(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            if error.code >= 500:
                raise ConnectionError(f"{error.code}: {text}") from None
            raise UserError(f"{error.code}: {text}") from None
        except OSError as error:
            raise ConnectionError(f"No answer from {self._address}: {error}") from error


class _Grpc:
    """predict and status over gRPC."""

    def __init__(self, address, seconds, authorization):
        try:
            import grpc
            from tensorflow_serving.apis import (
                model_service_pb2_grpc,
                prediction_service_pb2_grpc,
            )
        except ImportError as error:
            raise MissingPackageError(
                f"gRPC needs more packages ({error}): pip install 'npid_tf[serving]'."
            ) from error
        options = [("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(address, options)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(channel)
        self._seconds = seconds
        self._metadata = []
        if authorization is not None:
            self._metadata = [("authorization", authorization)]

    def predict(self, model, inputs, signature_name):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature_name
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        response = self._call(self._predictions.Predict, request)
        return {
            name: tf.make_ndarray(value) for name, value in response.outputs.items()
        }

    def status(self, model):
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        response = self._call(self._models.GetModelStatus, request)
        return {
            entry.version: entry.State.Name(entry.state)
            for entry in response.model_version_status
        }

    def _call(self, method, request):
        import grpc

        try:
            return method(request, timeout=self._seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            text = f"{error.code().name}: {error.details()}"
            code = grpc.StatusCode
            refused = (
                code.INVALID_ARGUMENT,
                code.NOT_FOUND,
                code.FAILED_PRECONDITION,
                code.UNAUTHENTICATED,
            )
            if error.code() in refused:
                raise UserError(text) from None
            raise ConnectionError(text) from None


def _quote(name):
    return urllib.parse.quote(name, safe="", errors="surrogateescape")


def _to_json(value):
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_to_json(item) for item in value]
