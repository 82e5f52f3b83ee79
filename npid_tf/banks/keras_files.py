"""The rows of a bank in Keras's own files, `.keras` and `.weights.h5`.

`store` is what Keras passes to `save_own_variables`: a mapping from names to arrays.
"""

import numpy as np

from npid_tf.banks.row_checks import checked_rows
from npid_tf.errors import UserError


def save_rows(bank, store):
    """Puts all rows of a bank into the store, whatever devices hold them."""
    for name, rows in bank.all_rows().items():
        store[name] = rows.numpy()


def load_rows(bank, store):
    """Writes the rows of a store into a bank.

    Raises UserError, and writes nothing, where some are missing or do not fit.
    """
    found = {}
    for name, rows in bank.all_rows().items():
        if name not in store:
            raise UserError(f"The file holds no {name!r} of the bank.")
        values = np.asarray(store[name])
        if values.shape != rows.shape:
            raise UserError(
                f"The file holds a bank of shape {values.shape}. Expected: "
                f"{rows.shape}."
            )
        found[name] = checked_rows(values, 0, rows)
    for name, rows in bank.all_rows().items():
        rows.write(0, found[name])
