"""The page at `/`: its files, from the package."""

import importlib.resources

import fastapi
from starlette.responses import Response

FILES = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
HEADERS = {
    # Nothing from elsewhere, and nothing inline.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def page(service):
    """The routes of the page. Each file is read once, by a name written here."""
    router = fastapi.APIRouter()
    folder = importlib.resources.files("npid_tf.server.http") / "web"

    def route(address, name, kind):
        content = (folder / name).read_bytes()

        @router.get(address)
        async def send(request: fastapi.Request):
            return Response(content, 200, HEADERS, kind)

    for address, (name, kind) in FILES.items():
        route(address, name, kind)
    return router
