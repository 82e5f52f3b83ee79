"""Answers over HTTP and gRPC: `npid serve DIR`, or
`python -m npid_tf.serve --export_dir=DIR`.

The API of TensorFlow Serving for the exported models, search and changes of the index
below /v1, and a page to look at: http://127.0.0.1:8501.
"""

import dataclasses

from npid_tf.command_line.program import run
from npid_tf.server.serve import ServeFlags, serve

GROUPS = {"serve": dataclasses.fields(ServeFlags)}


def main(given):
    values = dict(given.values)
    if given.arguments and "export_dir" not in values:
        values["export_dir"] = given.arguments.pop(0)
    given.refuse_arguments()
    config = ServeFlags.of(values)

    def tell(port, grpc_port, stop):
        host = f"[{config.host}]" if ":" in config.host else config.host
        print(f"Page and REST: http://{host}:{port}, gRPC: {host}:{grpc_port}. "
              "SIGTERM or Ctrl-C ends it.", flush=True)  # fmt: skip

    serve(config, tell)


if __name__ == "__main__":
    run(main, GROUPS)
