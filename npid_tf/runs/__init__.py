"""What a run is: its flags, and the parts they name."""
