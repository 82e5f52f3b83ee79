"""What the server answers, one file for each group of routes.

To add a route: a function in one of these files, or a file of its own and a line below.
Each is a function of a `Service` that returns a FastAPI router.
"""

from npid_tf.server.http.routes.health import health
from npid_tf.server.http.routes.items import items_api
from npid_tf.server.http.routes.models import models_api
from npid_tf.server.http.routes.page import page
from npid_tf.server.http.routes.search import search_api

# The product's own, which /docs and /openapi.json show.
ROUTES = (search_api, items_api, health)
# Those of TensorFlow Serving, documented there, and the page.
UNDOCUMENTED = (models_api, page)
