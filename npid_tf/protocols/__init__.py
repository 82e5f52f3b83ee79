"""How a trained encoder is judged: a function of `Config` for each protocol.

Each returns the rows of its table: dicts with the same keys, in the order of the
columns. `npid_tf.evaluate` prints and writes them. Where MMSelfSup's model page has a
table of the protocol, `PAGES` makes its rows of them.
"""

from npid_tf.protocols import fine_tune as semi_supervised
from npid_tf.protocols import knn, svm
from npid_tf.protocols import linear_heads as linear
from npid_tf.protocols import linear_probe as linear_cached
from npid_tf.protocols import low_shot as lowshot
from npid_tf.protocols.diagnostics.measure import evaluate_diagnostics
from npid_tf.protocols.retrieval import evaluate_retrieval
from npid_tf.protocols.transfer import evaluate_detection, evaluate_segmentation

PROTOCOLS = {
    "knn": knn.evaluate_knn,
    "retrieval": evaluate_retrieval,
    "diagnostics": evaluate_diagnostics,
    "linear_cached": linear_cached.evaluate_linear_cached,
    "linear": linear.evaluate_linear,
    "svm": svm.evaluate_svm,
    "lowshot": lowshot.evaluate_lowshot,
    "semi_supervised": semi_supervised.evaluate_semi_supervised,
    "detection": evaluate_detection,
    "segmentation": evaluate_segmentation,
}
PAGES = {
    "knn": knn.page,
    "linear": linear.page,
    "svm": svm.page,
    "lowshot": lowshot.page,
    "semi_supervised": semi_supervised.page,
}
