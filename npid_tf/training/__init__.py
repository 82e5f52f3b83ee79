"""What happens around the steps: callbacks, metrics, first rows, signals."""
