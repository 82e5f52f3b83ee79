"""What the address of a request says, byte for byte: ids are arbitrary text."""

from urllib.parse import parse_qsl, quote, unquote

from npid_tf.server.limits import RequestError, abridged

# Bytes that are not UTF-8 stay distinct, as in Python's file names.
ERRORS = "surrogateescape"


def decode_path(scope):
    """The path of a request, decoded."""
    return unquote(scope["raw_path"].decode("ascii"), errors=ERRORS)


def without_prefix(scope, root_path):
    """The scope of a request as of a server at `/`, for routes that match exactly.

    root_path: "" or "/PREFIX", which a proxy may have left before the path.
    """
    scope = dict(scope)
    if "raw_path" not in scope:
        return scope
    raw, prefix = scope["raw_path"], root_path.encode()
    if prefix and raw.startswith(prefix + b"/"):
        scope["raw_path"] = raw[len(prefix) :]
    # The patterns of routes pass over a newline at the end, and stop at any other.
    scope["path"] = decode_path(scope).replace("\n", "%0A")
    return scope


def read_parameters(request, known):
    """{name: text} of a request's query.

    Raises RequestError for an unknown or duplicate name.
    """
    query = request.scope["query_string"].decode("ascii")
    pairs = parse_qsl(query, keep_blank_values=True, errors=ERRORS)
    parameters = dict(pairs)
    check_known(parameters, known, "parameters")
    if len(parameters) < len(pairs):
        raise RequestError(400, f"Duplicate parameter: {abridged(query)}.")
    return parameters


def check_known(names, known, what):
    """Raises RequestError for a name that is not one of those known."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RequestError(
            400,
            f"Unknown {what}: {abridged(', '.join(unknown))}. Known: "
            f"{', '.join(known) or 'none'}.",
        )


def thumbnail_address(name):
    """The address of an item's thumbnail, below that of the server."""
    # Of names that no address can hold there are none among the training images.
    encoded = name.encode("utf-8", ERRORS if _is_bytes(name) else "replace")
    return f"/v1/thumbnail?id={quote(encoded, safe='')}"


def _is_bytes(name):
    try:
        name.encode("utf-8", ERRORS)
    except UnicodeEncodeError:
        return False
    return True
