"""Files and folders as they must be written: whole, stamped, summed, locked."""
