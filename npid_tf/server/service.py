"""What the server does, whichever protocol asks: predict, search, change the index."""

import asyncio
import concurrent.futures
import functools

import numpy as np

from npid_tf.errors import UserError
from npid_tf.pictures.exported import pictures_of_bytes
from npid_tf.server.batching import Batcher
from npid_tf.server.inputs import check_inputs
from npid_tf.server.limits import RequestError
from npid_tf.server.models import Models

# A thread's turn costs more than so many bytes take.
AT_ONCE_BYTES = 1 << 16


class Service:
    """The models and the index of an export, kept up to date with its folder.

    Its methods belong to one event loop and raise RequestError.

    Args:
        export_dir: as `npid_tf.export` wrote it.
        index: LocalIndexSource or MilvusIndexSource.
        limits: Limits.
        metrics: Metrics.
        max_batch_size: images that one call of a model answers.
        batch_delay: seconds that an image waits for others.
        poll_seconds: between looks for new versions.
        read_only: whether it refuses changes, though the index would take them.
    """

    def __init__(
        self,
        export_dir,
        index,
        limits,
        metrics,
        max_batch_size=64,
        batch_delay=0.002,
        poll_seconds=1.0,
        read_only=False,
    ):
        self.limits = limits
        self.metrics = metrics
        self.models = Models(export_dir)
        self.is_ending = False
        self._collection = None
        self._no_index = f"No index in {export_dir}."
        self._identity = None
        self._changing = asyncio.Lock()  # The index, or which index it is.
        self._index = index
        self._poll_seconds = poll_seconds
        self._read_only = read_only
        self._batcher = Batcher(
            max_batch_size,
            limits.pixels,
            batch_delay,
            limits.queue,
            metrics.batch_rows.observe,
        )
        metrics.waiting.set_function(lambda: self._batcher.num_waiting)
        # One, since several would take Python's lock from the event loop by turns.
        self._reader = concurrent.futures.ThreadPoolExecutor(1, "read")
        self._threads = concurrent.futures.ThreadPoolExecutor(4, "service")
        # One: a large image is decoded whole to be shrunk.
        self._shrinker = concurrent.futures.ThreadPoolExecutor(1, "shrink")
        self._watcher = None

    async def start(self):
        """Loads the export, and watches for the next one.

        Raises ValueError if the export holds no encoder that loads.
        """
        await self._refresh()
        try:
            self.models.get("encoder")
        except RequestError:
            raise UserError(
                f"No encoder in {self.models.export_dir}. Make one with `python -m "
                "npid_tf.export --export_dir=DIR`."
            ) from None
        self._watcher = asyncio.create_task(self._watch())

    async def close(self):
        """Stops watching, and ends the threads and the index."""
        if self._watcher is not None:
            self._watcher.cancel()
        self._batcher.close()
        self._reader.shutdown()
        self._threads.shutdown()
        self._shrinker.shutdown()
        if self._collection is not None:
            self._collection.close()

    def check_ready(self):
        """Raises RequestError if searches cannot be answered, or soon will not."""
        if self.is_ending:
            raise RequestError(503, "The server is ending.")
        self._current()

    def read_only(self):
        """Whether changes are refused."""
        is_open = self._collection is not None
        return self._read_only or (is_open and self._collection.index.read_only)

    def check_may_change(self):
        """Raises RequestError if changes are refused."""
        if self.read_only():
            raise RequestError(
                403, "This server is read-only: it searches, and changes nothing."
            )

    async def compute(self, num_bytes, function, *arguments):
        """What a function returns that takes the longer the more bytes it is given."""
        if num_bytes <= AT_ONCE_BYTES:
            return function(*arguments)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, function, *arguments)

    async def in_thread(self, function, *arguments):
        """What a function returns that blocks or takes long, called in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)

    async def predict(self, servable, signature_name, inputs, only=()):
        """Runs a signature on {name: array}, together with other requests.

        only: names of the outputs wanted, all if empty. Returns {name: array}.
        """
        specs = servable.input_specs(signature_name)
        num_bytes = sum(map(_num_bytes, inputs.values()))
        costs = await self.compute(num_bytes, check_inputs, inputs, specs, self.limits)
        outputs = await self._batcher.run(
            # Rows of one shape make a batch.
            (servable, signature_name, *(v.shape[1:] for v in inputs.values())),
            functools.partial(servable.run, signature_name),
            inputs,
            costs,
        )
        return {name: outputs[name] for name in only or outputs}

    async def search(self, files, names, k, threshold):
        """The k most similar items of each image file, then of each id.

        Args:
            files: list of bytes. names: list of ids in the index.
            k: neighbors. threshold: least similarity of what is returned.

        Returns:
            dict of `results` and `exact` as `Collection.search` returns them, `engine`
            and `encoder_version`.
        """
        self.limits.check_num_images(len(files) + len(names))
        collection, encoder = self._current()
        parts = [await self._embed(encoder, files)] if files else []
        if names:
            parts.append(await self.in_thread(collection.embeddings, names))
        results, exact = await self.in_thread(
            collection.search, np.concatenate(parts), k, threshold
        )
        return {
            "results": results,
            "engine": collection.index.engine,
            "exact": exact,
            "encoder_version": encoder.version,
        }

    async def upsert(self, names, files, labels):
        """Puts images into the index, durably, in place of those with the same ids."""
        self.check_may_change()
        self.limits.check_num_images(len(files))
        pictures = None
        while True:
            _, encoder = self._current()
            embeddings = await self._embed(encoder, files)
            if pictures is None:  # Of what was embedded: that they decode is known.
                loop = asyncio.get_running_loop()
                pictures = await loop.run_in_executor(
                    self._shrinker, pictures_of_bytes, files
                )
            async with self._changing:
                collection, now = self._current()
                if now is encoder:
                    await self.in_thread(
                        collection.upsert, names, embeddings, labels, pictures
                    )
                    return

    async def delete(self, name):
        """Takes an item out of the index, durably."""
        self.check_may_change()
        async with self._changing:
            await self.in_thread(self.collection().delete, name)

    async def thumbnail(self, name):
        """A small PNG or JPEG of an item."""
        return await self.in_thread(self.collection().thumbnail, name)

    def collection(self):
        """The Collection that is served."""
        if self._collection is None:
            raise RequestError(503, self._no_index)
        return self._collection

    def _current(self):
        """The Collection and the encoder that made its index."""
        collection, encoder = self.collection(), self.models.get("encoder")
        collection.check_encoder(encoder)
        collection.check_available()
        return collection, encoder

    async def _embed(self, encoder, files):
        image_bytes = np.empty(len(files), object)
        image_bytes[:] = files
        inputs = {"image_bytes": image_bytes}
        return (await self.predict(encoder, "serving_bytes", inputs))["embeddings"]

    async def _watch(self):
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self._refresh()
            except OSError as error:  # A folder that is gone may come back.
                print(f"Could not look for new versions: {error}", flush=True)

    async def _refresh(self):
        """Loads what is new, then serves all of it at once: encoder and index fit."""
        loaded = {}
        await self._load_new(loaded, await self.in_thread(self._index.fits))
        async with self._changing:
            collection = await self.in_thread(self._open_collection)
            if collection is not None:  # It may be of a still newer export.
                fits = await self.in_thread(self._fits, collection)
                await self._load_new(loaded, fits)
            self._collection = collection
            for servable in filter(None, loaded.values()):
                self.models.publish(servable)
                self.metrics.versions.labels(servable.name).set(servable.version)
                print(f"Serving {servable.name} version {servable.version}", flush=True)

    async def _load_new(self, loaded, fits):
        """{(name, version): Servable}: loads the models that fit the index."""
        while True:
            found = await self.in_thread(self.models.find_new, fits)
            found = [item for item in found if item not in loaded]
            if not found:
                return
            for item in found:
                loaded[item] = await self.in_thread(self.models.load, *item)

    def _fits(self, collection):
        """What `find_new` takes, of the index that was opened."""
        fits, encoder_hash = self._index.fits(), collection.index.encoder_hash
        return (encoder_hash, None) if fits and fits[0] != encoder_hash else fits

    def _open_collection(self):
        """The Collection: the one being served, or that of a new index."""
        identity = self._index.identity()
        if identity is None:
            return self._collection
        if identity == self._identity and self._collection is not None:
            self._index.keep_up(self._collection)
            return self._collection
        try:
            collection = self._index.open(before=self._collection)
        except Exception as error:  # What is wrong with a folder has no one type.
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            no_index = f"The index does not load: {kind}{error}"
            if no_index != self._no_index:  # It is tried again and again.
                print(no_index, flush=True)
            self._no_index = no_index
            return None
        self._identity = identity
        return collection


def _num_bytes(array):
    return sum(map(len, array.flat)) if array.dtype == object else array.nbytes
