"""Answers over HTTP and gRPC: `python -m npid_tf.serve --export_dir=DIR`.

The API of TensorFlow Serving for the exported models, search and changes of the index
below /v1, and a page to look at: http://127.0.0.1:8501.
"""

import dataclasses
import os

from npid_tf.errors import MissingPackageError, UserError
from npid_tf.runs import build
from npid_tf.runs.command_line import run
from npid_tf.search.milvus.index import check_engine
from npid_tf.server.limits import Limits


def serve(config, started=None, poll_seconds=1.0):
    """Serves an export until SIGTERM or SIGINT, which drain it.

    Args:
        config: Config.
        started: see `npid_tf.server.server.run_server`.
        poll_seconds: between looks for new versions in the folder.

    Raises:
        ValueError: where there is nothing to serve, or an address is taken.
        ImportError: without the extra `serving`.
    """
    if config.export_dir is None:
        raise UserError("What to serve? Pass --export_dir=DIR.")
    check_engine(config.engine, config.uri)
    try:
        import uvloop

        from npid_tf.server.http.access import Access
        from npid_tf.server.index_source import IndexInMilvus, OwnIndex
        from npid_tf.server.metrics import Metrics
        from npid_tf.server.server import run_server
        from npid_tf.server.service import Service
    except ImportError as error:
        if (error.name or "").startswith("npid_tf"):
            raise  # A fault of ours.
        raise MissingPackageError(
            f"The server needs more packages ({error}): pip install 'npid_tf[serving]'."
        ) from error

    limits = Limits(
        body_bytes=config.max_body_mb << 20,
        pixels=config.max_pixels,
        images=config.max_request_images,
        k=config.max_k,
        queue=config.max_queue,
        seconds=config.request_seconds,
    )
    access = Access(
        config.api_token or os.environ.get("NPID_API_TOKEN") or None,
        config.allowed_origins,
        config.trusted_proxies,
        config.root_path or "",
    )

    def open_source(data):
        try:
            return build.build_source(dataclasses.replace(config, **data))
        except (UserError, OSError) as error:
            print(f"No thumbnails: {error}", flush=True)
            return None

    if config.engine == "milvus":
        index = IndexInMilvus(config.export_dir, open_source, config.uri)
    else:
        index = OwnIndex(config.export_dir, open_source, config.read_only)
    service = Service(
        config.export_dir,
        index,
        limits,
        Metrics(),
        config.max_batch_size,
        config.batch_delay_ms / 1e3,
        poll_seconds,
        config.read_only,
    )
    ports = config.port, config.grpc_port
    uvloop.run(run_server(service, config.host, *ports, started, access))


def main(config, arguments):
    if arguments:
        raise UserError(f"Unexpected arguments: {' '.join(arguments)}.")

    def tell(port, grpc_port, stop):
        host = f"[{config.host}]" if ":" in config.host else config.host
        print(f"Page and REST: http://{host}:{port}, gRPC: {host}:{grpc_port}. "
              "SIGTERM or Ctrl-C ends it.", flush=True)  # fmt: skip

    serve(config, tell)


if __name__ == "__main__":
    run(main)
