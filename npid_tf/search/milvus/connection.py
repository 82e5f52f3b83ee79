"""Connections to Milvus: a server, or a file of Milvus Lite; and what goes wrong."""

import contextlib
import functools
import logging
import os
import re
import warnings

from npid_tf.errors import MissingPackageError, UnavailableError, UserError

# SCANN came with it, and so did counts that leave out what was deleted.
LEAST_VERSION = (2, 3)
# pymilvus drops a connection that does not answer a ping within 5 seconds, and sends
# again what was under way: a busy machine takes longer, and no creation works twice.
SERVER = {"grpc.keepalive_timeout_ms": 60_000}
# A Milvus Lite, in this process, disconnects clients that ping it often.
LITE = {**SERVER, "grpc.keepalive_time_ms": 3_600_000}
SERVER_SECONDS = 10
# A Milvus Lite starts where it is opened, which takes seconds on a busy machine.
LITE_SECONDS = 60
# Milvus's codes of a collection that is not there, or is not loaded.
NOT_FOUND, NOT_LOADED = 100, 101
# Its codes of a request that makes no sense: the fault is ours, and no server's.
OUR_FAULT = range(1100, 1200)


def connect(uri):
    """A MilvusClient.

    Raises MissingPackageError without pymilvus, UnavailableError if no Milvus
    answers, UserError for a uri that names none or a server that is too old.
    """
    try:
        import pymilvus
    except ImportError as error:
        raise MissingPackageError(
            "--engine=milvus needs pymilvus: pip install 'npid_tf[milvus]'."
        ) from error
    if "://" not in uri and not uri.endswith(".db"):
        raise UserError(
            "--uri must be http://HOST:19530, or for Milvus Lite a file, which must "
            f"end in .db. Received: {uri}."
        )
    # It logs the traceback of every error that it raises too.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    is_server = "://" in uri
    with _reason_of_lite() as reasons:
        try:
            client = pymilvus.MilvusClient(
                uri,
                token=os.environ.get("MILVUS_TOKEN", ""),
                timeout=SERVER_SECONDS if is_server else LITE_SECONDS,
                grpc_options=SERVER if is_server else LITE,
            )
        except pymilvus.MilvusException as error:
            why = "; ".join([error.message, *reasons])
            raise UnavailableError(f"No Milvus at {uri}: {why}") from error
    try:
        with answers(uri):
            _check_version(uri, client.get_server_version(timeout=SERVER_SECONDS))
    except BaseException:
        client.close()
        raise
    return client


def is_lite(version):
    """Whether a server's version is a Milvus Lite's.

    The server of PyPI calls itself v2.3.5-lite, but is not Lite.
    """
    return version.startswith("milvus_lite")


def _check_version(uri, version):
    if is_lite(version):
        return
    numbers = re.search(r"(\d+)\.(\d+)", version)
    if numbers is None:
        warnings.warn(
            f"Milvus at {uri} has an unknown version: {version!r}. "
            f"npid_tf needs {_dotted(LEAST_VERSION)} or newer.",
            stacklevel=3,
        )
    elif tuple(map(int, numbers.groups())) < LEAST_VERSION:
        raise UserError(
            f"npid_tf needs Milvus {_dotted(LEAST_VERSION)} or newer. Received: "
            f"{version} at {uri}."
        )


def _dotted(version):
    return ".".join(map(str, version))


@contextlib.contextmanager
def answers(uri):
    """Turns errors of Milvus and of the way to it into UnavailableError.

    What it answers to a request that makes no sense stays: that is a fault of ours.
    """
    import grpc
    from pymilvus import MilvusException
    from pymilvus.exceptions import ParamError

    try:
        yield
    except ParamError:
        raise
    except MilvusException as error:
        if error.code in OUR_FAULT:
            raise
        raise UnavailableError(f"Milvus at {uri}: {error.message}") from error
    except (grpc.RpcError, grpc.FutureTimeoutError) as error:
        raise UnavailableError(f"Milvus at {uri} does not answer: {error}") from error


@contextlib.contextmanager
def _reason_of_lite():
    """A list that gets why a Milvus Lite does not open: pymilvus only logs it."""
    reasons = []
    add = functools.partial(_note, reasons)
    logger = logging.getLogger("milvus_lite.server_manager")
    logger.addFilter(add)
    try:
        yield reasons
    finally:
        logger.removeFilter(add)


def _note(reasons, record):
    if record.exc_info:
        reasons.append(str(record.exc_info[1]))
    return not record.exc_info
