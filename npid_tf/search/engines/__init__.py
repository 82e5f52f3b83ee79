"""What searches an export, one file each. To add an engine: a file here, and a line in
ENGINES; a server finds its index by a line in `server/index_source.py`."""

from npid_tf.checks.arguments import one_of
from npid_tf.errors import UserError
from npid_tf.search.engines import milvus, scann
from npid_tf.search.engines.engine import Engine, Items

__all__ = ["ENGINES", "Engine", "Items", "get_engine"]

ENGINES = {engine.name: engine for engine in (scann.ENGINE, milvus.ENGINE)}


def get_engine(name, uri):
    """The engine called `name`.

    Raises ValueError for an unknown name, or where it needs a uri and there is none.
    """
    engine = ENGINES[one_of("engine", name, ENGINES)]
    if engine.needs_uri and uri is None:
        raise UserError(
            f"`uri` is required with --engine={name}. Pass --uri=http://HOST:19530 or "
            "--uri=FILE.db."
        )
    return engine
