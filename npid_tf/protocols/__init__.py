"""How a trained encoder is evaluated: functions of a run's flags, one file each.

To add one: a file here with its flags and a PROTOCOL, and a line in PROTOCOLS.
`npid_tf.evaluate` prints and writes the rows that each returns. What computes them from
arrays is in `npid_tf.evaluation`, under the same name.
"""

from npid_tf.protocols import (
    curation,
    fine_tune,
    knn,
    linear_heads,
    linear_probe,
    low_shot,
    retrieval,
    svm,
    transfer,
)
from npid_tf.protocols.diagnostics import measure, side_by_side

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        knn.PROTOCOL,
        retrieval.PROTOCOL,
        measure.PROTOCOL,
        curation.PROTOCOL,
        side_by_side.PROTOCOL,
        linear_probe.PROTOCOL,
        linear_heads.PROTOCOL,
        svm.PROTOCOL,
        low_shot.PROTOCOL,
        fine_tune.PROTOCOL,
        transfer.DETECTION,
        transfer.SEGMENTATION,
    )
}
# Their names until 0.2.
FORMER_NAMES = {
    "linear_cached": "linear_probe",
    "linear": "linear_heads",
    "lowshot": "low_shot",
    "semi_supervised": "fine_tune",
}
