"""`Run`: a run from Python, as the programs have it from the command line."""

import dataclasses
import os
import warnings
from typing import Any

import keras
import numpy as np

from npid_tf.checks.arguments import folder_path
from npid_tf.command_line import recipes
from npid_tf.command_line.given import Given, parse
from npid_tf.errors import UserError
from npid_tf.protocols import FORMER_NAMES, PROTOCOLS
from npid_tf.runs import build
from npid_tf.runs.embed import EmbedFlags, embed_images, embed_to_file
from npid_tf.runs.export import ExportFlags, export
from npid_tf.runs.train import train
from npid_tf.runs.train_flags import OF_ANY_PROGRAM, TrainFlags
from npid_tf.runs.workdir import FIELDS, is_run, read_run
from npid_tf.vector_files import read_vectors


class Run:
    """A folder that holds what was learned, and how: trained, evaluated, exported.

    Args:
        workdir: the folder of the run, which `train` makes.

    Attributes:
        workdir: str.
        config: `TrainFlags`, what the run was trained with. Raises ValueError where
            nothing was trained yet.

    Example:
        >>> import npid_tf
        >>> run = npid_tf.Run("runs/photos")
        >>> run  # doctest: +SKIP
        Run('runs/photos')
        >>> run.train(data="PHOTOS", recipe="photos", epochs=50)  # doctest: +SKIP
        >>> run.evaluate("retrieval")  # doctest: +SKIP
        >>> run.export("runs/photos/export")  # doctest: +SKIP
    """

    def __init__(self, workdir: str | os.PathLike):
        self.workdir = os.path.expanduser(folder_path("workdir", workdir))

    def __repr__(self) -> str:
        return f"Run({self.workdir!r})"

    @property
    def config(self) -> TrainFlags:
        return TrainFlags.of({**read_run(self.workdir), "workdir": self.workdir})

    def train(
        self, *, data: str | None = None, recipe: str | None = None, **flags: Any
    ) -> "Run":
        """Trains the run, or resumes it; returns the run.

        Args:
            data: a folder of images, or digits, tfds:NAME, folder:DIR, npz:FILE.
            recipe: the name of a recipe, as `photos`; `auto`, that of a new run,
                follows the data. A run that is resumed has its own flags, where neither
                recipe nor flags say otherwise.
            flags: of `npid train`, by their names.

        Raises:
            ValueError: for unknown flags, flags or data that do not fit, or a folder
                that another process trains in.
        """
        _check_names(flags, TrainFlags)
        given = {**flags, "workdir": self.workdir}
        if data is not None:
            given["dataset"] = os.fspath(data)
        values, stay = {}, None
        if recipe is None and is_run(self.workdir):
            values = read_run(self.workdir)
        elif recipe in (None, recipes.AUTO):
            stay = frozenset(given)
        else:
            values = parse([f"--flagfile={recipes.path_of(recipe)}"], FIELDS).values
        train(TrainFlags.of({**values, **given}), stay)
        return self

    def evaluate(self, protocol: str = "knn", **flags: Any) -> list[dict]:
        """The rows of a protocol's table: dicts with the same keys.

        Args:
            protocol: knn, retrieval, ...: as `npid evaluate --protocol`.
            flags: of the protocol, and what is not as it was trained, by their names.

        Raises:
            ValueError: for an unknown protocol or flag, or where labels, images to
                evaluate on or a checkpoint are missing.
        """
        protocol = FORMER_NAMES.get(protocol, protocol)
        if protocol not in PROTOCOLS:
            raise UserError(
                f"Unknown protocol {protocol!r}. Known: {', '.join(PROTOCOLS)}."
            )
        chosen = PROTOCOLS[protocol]
        config, own = self._flags(chosen.flags, flags)
        return chosen.evaluate(config, own)

    def embed(
        self, data: str | None = None, *, out: str | None = None, **flags: Any
    ) -> dict:
        """Embeddings of images: {"embeddings": float32 [n, dim], "ids": [n], ...}.

        Where there are labels, `labels` are int64 [n], and `class_names` the name of
        each number; `about` says what made them. Images that cannot be read are
        missing, and named in a warning.

        Args:
            data: images to embed, as of `train`; None: those the run was trained on.
            out: a file to write them to as well, as of `npid embed`: FILE.npz, .npy,
                .parquet or .jsonl. It is written in little memory, and an interrupted
                call goes on where it stopped.
            flags: of `npid embed`, by their names.

        Raises:
            ValueError: where images or a checkpoint cannot be read.
        """
        config, own = self._flags(EmbedFlags, {**flags, "data": data, "out": out})
        if own.out is None:
            vectors, left_out = embed_images(config, own)
        else:
            left_out = embed_to_file(config, own).left_out
            vectors = read_vectors(own.out)
        if left_out:
            warnings.warn(
                f"{len(left_out)} images cannot be read and are missing: "
                f"{', '.join(list(left_out)[:3])}{', ...' * (len(left_out) > 3)}.",
                stacklevel=2,
            )
        found = {**vectors._asdict(), "ids": np.array(vectors.ids, str)}
        return {name: value for name, value in found.items() if value is not None}

    def export(self, export_dir: str | os.PathLike, **flags: Any) -> dict:
        """Writes SavedModels and an index; returns the manifest of the index.

        Args:
            export_dir: the folder to write to.
            flags: of `npid export`, by their names.

        Raises:
            ValueError: where there is no checkpoint or a recall that no setting of the
                index reaches. What was there before stays.
        """
        given = {**flags, "export_dir": os.fspath(export_dir)}
        config, own = self._flags(ExportFlags, given)
        return export(config, own)

    def encoder(self) -> keras.Model:
        """The encoder of the newest whole checkpoint, images -> unit embeddings."""
        return build.load_trained_encoder(self.config)

    def _flags(self, kind, values):
        """(TrainFlags, the flags of a kind) of values by name."""
        recorded = read_run(self.workdir)
        _check_names(values, kind, OF_ANY_PROGRAM)
        of_run = {name: values[name] for name in OF_ANY_PROGRAM if name in values}
        config = TrainFlags.of({**recorded, **of_run, "workdir": self.workdir})
        return config, Given(values, []).flags(kind, recorded)


def _check_names(values, kind, others=()):
    known = [*(field.name for field in dataclasses.fields(kind)), *others]
    unknown = [name for name in values if name not in known or name == "workdir"]
    if unknown:
        raise UserError(
            f"Unknown flags: {', '.join(unknown)}. Known: {', '.join(sorted(known))}."
        )
