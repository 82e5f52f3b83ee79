"""How a trained encoder is judged: a function of `Config` for each protocol.

Each returns the rows of its table: dicts with the same keys, in the order of the
columns. `npid_tf.evaluate` prints and writes them.
"""

from npid_tf.protocols.knn import evaluate_knn
from npid_tf.protocols.transfer import evaluate_detection, evaluate_segmentation

PROTOCOLS = {
    "knn": evaluate_knn,
    "detection": evaluate_detection,
    "segmentation": evaluate_segmentation,
}
