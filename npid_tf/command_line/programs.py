"""The programs, and where each has its flags. To add one: `npid_tf/NAME.py`, which
calls `program.run(main, GROUPS)`, and a line here.

They are named, not imported: `npid --help` and most programs need few of them.
"""

import dataclasses
import functools
import importlib

# name: (what it does, where its flags are: "module:dataclass" of each group)
PROGRAMS = {
    "train": ("learn an encoder", ["npid_tf.runs.train_flags:TrainFlags"]),
    "embed": ("write the embeddings of images", ["npid_tf.runs.embed:EmbedFlags"]),
    "evaluate": ("evaluate a run", ["npid_tf.evaluate:EvaluateFlags"]),
    "export": ("write models and an index", ["npid_tf.runs.export:ExportFlags"]),
    "search": ("find similar images", ["npid_tf.runs.search:SearchFlags"]),
    "index": ("change an index", ["npid_tf.runs.index.commands:IndexFlags"]),
    "serve": ("answer over HTTP and gRPC", ["npid_tf.server.serve:ServeFlags"]),
    "convert": ("weights in and out", ["npid_tf.runs.convert:ConvertFlags"]),
}
# Flags that files of before have, and what became of them.
FORMER_FLAGS = {
    "max_images": "evaluate until 0.2, whose diagnostics now compare all images",
}


@functools.cache
def flags_of_all_programs():
    """{name of a flag: name of a program that has it}."""
    found = {}
    for program, (_, places) in PROGRAMS.items():
        for place in places:
            module, name = place.split(":")
            for field in dataclasses.fields(
                getattr(importlib.import_module(module), name)
            ):
                found.setdefault(field.name, program)
    protocols = importlib.import_module("npid_tf.protocols").PROTOCOLS
    for protocol in protocols.values():
        for field in dataclasses.fields(protocol.flags):
            found.setdefault(field.name, f"evaluate --protocol={protocol.name}")
    return {**FORMER_FLAGS, **found}
