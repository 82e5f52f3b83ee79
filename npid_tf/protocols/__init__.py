"""How a trained encoder is judged: a function of `Config` for each protocol.

Each returns the rows of its table: dicts with the same keys, in the order of the
columns. `npid_tf.evaluate` prints and writes them.
"""

from npid_tf.protocols.diagnostics import evaluate_diagnostics
from npid_tf.protocols.knn import evaluate_knn
from npid_tf.protocols.retrieval import evaluate_retrieval

PROTOCOLS = {
    "knn": evaluate_knn,
    "diagnostics": evaluate_diagnostics,
    "retrieval": evaluate_retrieval,
}
