"""Asks `npid_tf.serve`, or TensorFlow Serving on the same export, for the neighbors of
an image, with nothing but Python.

python export/query.py photo.jpg [http://localhost:8501]

Where the server asks for a token, put it into the environment as NPID_API_TOKEN.
"""

import base64
import json
import os
import sys
import urllib.request


def find_neighbors(path, server):
    """The answer of the model `neighbors` for one image file: ids, similarities, and
    class_probabilities where the training images have labels."""
    with open(path, "rb") as file:
        image = {"b64": base64.b64encode(file.read()).decode()}
    request = urllib.request.Request(
        f"{server}/v1/models/neighbors:predict",
        json.dumps({"instances": [{"image_bytes": image}]}).encode(),
    )
    if os.environ.get("NPID_API_TOKEN"):
        token = f"Bearer {os.environ['NPID_API_TOKEN']}"
        request.add_unredirected_header("authorization", token)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["predictions"][0]


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    server = sys.argv[2] if len(sys.argv) == 3 else "http://localhost:8501"
    print(json.dumps(find_neighbors(sys.argv[1], server), indent=1))
