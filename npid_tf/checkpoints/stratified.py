"""Whether the parts of a run's data are stratified."""

import json
import os

from npid_tf.checkpoints.checkpoints import list_checkpoints

IN_ORDER = "in order"  # In a fingerprint: parts are one after the other.


def is_stratified(checkpoints):
    """Whether `train[:80%]` takes of every class its share: not in runs of before.

    Those took parts one after the other, and go on so: their rows are of these images,
    and what they judge by must not be among them. checkpoints: the run's folder.
    """
    for path in reversed(list_checkpoints(checkpoints)):
        try:
            with open(os.path.join(path, "state.json"), encoding="utf-8") as file:
                fingerprint = json.load(file)["fingerprint"]
            return "contents" in fingerprint and fingerprint.get("parts") != IN_ORDER
        except (OSError, ValueError, KeyError, TypeError):
            continue  # Damaged: restoring says so, and goes on with an older one.
    return True
