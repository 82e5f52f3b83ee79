"""An index on one machine: no network, no flag reaches this folder."""
