"""Serves an export: `serve(ServeFlags(export_dir=DIR))`."""

import dataclasses
import os

from npid_tf.command_line.fields import Flags, choice, flag
from npid_tf.errors import MissingPackageError, UserError
from npid_tf.runs import data
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.search.engines import ENGINES, get_engine
from npid_tf.server.limits import Limits


@dataclasses.dataclass(frozen=True)
class ServeFlags(Flags):
    """What is served, to whom, and how much a request may ask."""

    export_dir: str | None = flag(
        None, "Folder of the exported models and index", path=True
    )
    engine: str = choice(ENGINES, "scann", "What searches: the index of DIR, or Milvus")
    uri: str | None = flag(
        None, "milvus: http://HOST:19530, or the file of a Milvus Lite", path=True,
        only_with={"engine": ("milvus",)},
    )  # fmt: skip
    host: str = flag("127.0.0.1", "Address to listen at; 0.0.0.0 is all")
    port: int = flag(8501, "Port of HTTP", at_least=0, at_most=65535)
    grpc_port: int = flag(8500, "Port of gRPC", at_least=0, at_most=65535)
    api_token: str | None = flag(
        None,
        "Requests must send it, `Authorization: Bearer TOKEN`; better given in the "
        "environment, NPID_API_TOKEN, which no list of processes shows",
        secret=True,
    )
    read_only: bool = flag(False, "Search, but change nothing")
    allowed_origins: tuple[str, ...] = flag(
        (), "https://NAME,... whose pages may ask, and by which it is reached",
        may_be_empty=True,
    )  # fmt: skip
    trusted_proxies: tuple[str, ...] = flag(
        (), "Addresses or networks whose X-Forwarded-Host and -Proto it believes",
        may_be_empty=True,
    )  # fmt: skip
    root_path: str | None = flag(
        None, "The /PREFIX that a proxy leaves before the paths it passes on"
    )
    max_batch_size: int = flag(
        64, "Images that one call of a model answers", at_least=1
    )
    batch_delay_ms: float = flag(2.0, "How long an image waits for others", at_least=0)
    max_body_mb: int = flag(32, "Most megabytes of a request", at_least=1)
    max_pixels: int = flag(
        50_000_000, "Most pixels of an image in a request", at_least=1
    )
    max_request_images: int = flag(64, "Most images in a request", at_least=1)
    max_k: int = flag(1000, "Most neighbors that a request may ask for", at_least=1)
    max_queue: int = flag(
        256, "Most requests and images that wait; past it 503", at_least=1
    )
    request_seconds: float = flag(30.0, "Longest time for a request", above=0)


def serve(config, started=None, poll_seconds=1.0):
    """Serves an export until SIGTERM or SIGINT, which drain it.

    Args:
        config: ServeFlags.
        started: see `npid_tf.server.server.run_server`.
        poll_seconds: between looks for new versions in the folder.

    Raises:
        ValueError: where there is nothing to serve, or an address is taken.
        ImportError: without the extra `serving`.
    """
    if config.export_dir is None:
        raise UserError("`export_dir` is required. Pass --export_dir=DIR.")
    config.refuse_ignored()
    get_engine(config.engine, config.uri)
    try:
        import uvloop

        from npid_tf.server.http.access import Access
        from npid_tf.server.index_source import SOURCES
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

    def open_source(described):
        try:
            return data.build_source(TrainFlags.of(described))
        except (UserError, OSError) as error:
            print(f"No thumbnails: {error}", flush=True)
            return None

    if config.engine not in SOURCES:
        raise UserError(
            f"The server has no index of the engine {config.engine!r}. Known: "
            f"{', '.join(SOURCES)} (SOURCES in server/index_source.py)."
        )
    index = SOURCES[config.engine](config, open_source)
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
