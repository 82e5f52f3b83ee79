"""The versions of the exported models: which there are, which are loaded."""

import dataclasses
import os
import re

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from npid_tf.data.decode import as_plain
from npid_tf.data.decoding.rules import Decoding
from npid_tf.errors import FileError
from npid_tf.saved_models.export_folder import unserved_version
from npid_tf.saved_models.saved_model import WARMUP, check_model, read_description
from npid_tf.server.limits import RequestError, abridged

NAMES = ("encoder", "neighbors")
VERSION = re.compile("0|[1-9][0-9]{0,17}")


class Servable:
    """One version of a model, loaded from its SavedModel.

    `signature_defs` are its protos by name, `encoder_hash` identifies the encoder.
    """

    def __init__(self, name, version, directory):
        self.name = name
        self.version = version
        description = check_model(directory)
        self.encoder_hash = description["encoder_hash"]
        self._decoding = Decoding.of(description.get("data", {}))
        with open(os.path.join(directory, "saved_model.pb"), "rb") as file:
            model = saved_model_pb2.SavedModel.FromString(file.read())
        self.signature_defs = dict(model.meta_graphs[0].signature_def)
        # Kept: its functions use the variables without holding them.
        self._module = tf.saved_model.load(directory)
        self._warm_up(os.path.join(directory, WARMUP))

    def check_signature(self, name):
        """Raises RequestError that lists the known signatures for an unknown one."""
        if name not in self._module.signatures:
            raise RequestError(
                400,
                f'Serving signature name: "{abridged(name)}" not found in signature '
                f"def. Known: {', '.join(self._module.signatures)}.",
            )

    def input_specs(self, signature_name):
        """{name: tf.TensorSpec} of a signature's inputs."""
        self.check_signature(signature_name)
        return self._module.signatures[signature_name].structured_input_signature[1]

    def output_names(self, signature_name):
        """Names of a signature's outputs."""
        self.check_signature(signature_name)
        return set(self._module.signatures[signature_name].structured_outputs)

    def run(self, signature_name, inputs):
        """{name: array} -> {name: array}, in one call of the graph.

        Raises UserError for image files that do not decode.
        """
        if "image_bytes" in inputs:
            files = [as_plain(file, self._decoding) for file in inputs["image_bytes"]]
            inputs = {**inputs, "image_bytes": np.array(files, object)}
        function = self._module.signatures[signature_name]
        outputs = function(**{k: tf.constant(value) for k, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    def _warm_up(self, path):
        if not os.path.isfile(path):
            return
        try:
            requests = [
                prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
                for record in tf.data.TFRecordDataset(path).as_numpy_iterator()
            ]
        except (tf.errors.OpError, DecodeError) as error:
            raise FileError(
                f"{path} is damaged ({getattr(error, 'message', error)}). Remove it: "
                "the model then takes longer for its first request. Or export again."
            ) from error
        for request in requests:
            inputs = {
                name: np.asarray(tf.make_ndarray(value))
                for name, value in request.inputs.items()
            }
            self.run(request.model_spec.signature_name, inputs)


@dataclasses.dataclass
class VersionStatus:
    """State of a version, in TensorFlow Serving's words, and its error."""

    state: str
    error: str = ""


class Models:
    """The newest version of each model below an export, and the state of the others.

    `find_new` returns what to load and `load` loads it, in any thread; `publish` makes
    it the one that is served. Requests keep the Servable that they began with.
    """

    def __init__(self, export_dir):
        self.export_dir = export_dir
        self._serving = {}
        self._statuses = {name: {} for name in NAMES}
        self._failed = {}

    def find_new(self, fits=None):
        """(name, version) of each version that should be served and is not yet.

        That is the newest; beside an index the one that belongs to it, or else the
        newest whose encoder made it: one that an interrupted export left, or is being
        copied before its index, waits. A version that did not load is tried again when
        its files have changed, as while it is still being copied.

        fits: (encoder_hash, version or None) of the index that is served.
        """
        found = []
        for name in NAMES:
            serving = self._serving.get(name)
            fitting = self._fitting(name, fits)
            if not fitting and serving and fits and serving.encoder_hash == fits[0]:
                continue  # Removed from the folder, but still served.
            for version in fitting or sorted(self._versions(name), reverse=True):
                if serving is not None and (
                    version == serving.version
                    or (version < serving.version and not fitting)
                ):
                    break
                if self._failed.get((name, version)) != self._changed(name, version):
                    found.append((name, version))
                    break
        return found

    def load(self, name, version):
        """The Servable of a version, or None if it does not load (see `status`)."""
        changed = self._changed(name, version)
        self._statuses[name][version] = VersionStatus("LOADING")
        try:
            return Servable(name, version, self._directory(name, version))
        except Exception as error:  # What is wrong with a folder has no one type.
            message = f"{type(error).__name__}: {error}"
            print(f"Could not load {name} version {version}: {message}", flush=True)
            self._statuses[name][version] = VersionStatus("END", message)
            self._failed[name, version] = changed
            return None

    def publish(self, servable):
        """Serves a version from now on, and no longer the one before."""
        statuses = self._statuses[servable.name]
        before = self._serving.get(servable.name)
        if before is not None:
            statuses[before.version] = VersionStatus("END")
        statuses[servable.version] = VersionStatus("AVAILABLE")
        self._serving[servable.name] = servable

    def get(self, name, version=None):
        """The Servable of a model. Raises RequestError if it is not served."""
        servable = self._serving.get(name)
        if servable is None or version not in (None, servable.version):
            wanted = f"Latest({abridged(name)})"
            if version is not None:
                wanted = f"Specific({abridged(name)}, {version})"
            raise RequestError(404, f"Servable not found for request: {wanted}")
        return servable

    def status(self, name, version=None):
        """{version: VersionStatus} of a model, or of only one version.

        Raises RequestError for an unknown one.
        """
        statuses = dict(self._statuses.get(name, {}))
        if version is None and statuses:
            return dict(sorted(statuses.items(), reverse=True))
        if version in statuses:
            return {version: statuses[version]}
        what = "any versions" if version is None else f"version {version}"
        raise RequestError(404, f"Could not find {what} of model {abridged(name)}")

    def _fitting(self, name, fits):
        """Versions whose encoder made the index: its own, then the newest first."""
        if fits is None:
            return []
        encoder_hash, own = fits
        versions = [
            version
            for version in self._versions(name)
            if self._hash_of(name, version) == encoder_hash
        ]
        return sorted(versions, key=lambda version: (version != own, -version))

    def _hash_of(self, name, version):
        try:
            return read_description(self._directory(name, version))["encoder_hash"]
        except ValueError:
            return None  # `load` reports what is wrong with it.

    def _versions(self, name):
        directory = os.path.join(self.export_dir, name)
        names = os.listdir(directory) if os.path.isdir(directory) else []
        versions = {int(name) for name in names if VERSION.fullmatch(name)}
        return versions - {unserved_version(self.export_dir)}

    def _directory(self, name, version):
        return os.path.join(self.export_dir, name, str(version))

    def _changed(self, name, version):
        """When anything in the folder of a version changed last."""
        times = [0]
        for root, _, files in os.walk(self._directory(name, version)):
            for path in [root, *(os.path.join(root, file) for file in files)]:
                if os.path.exists(path):
                    times.append(os.stat(path).st_mtime_ns)
        return max(times)
