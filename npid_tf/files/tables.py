"""CSV files, which hold names of any bytes as they are."""

import csv
import io

from npid_tf.files.whole_files import open_whole


def write_csv(path, columns, lines):
    """Writes a CSV file whole: the names of its columns, then each line's values."""
    with open_whole(path, "wb") as file:
        # A file's name need not be UTF-8.
        text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(lines)
        text.detach()  # Flushes, and leaves the file open.
