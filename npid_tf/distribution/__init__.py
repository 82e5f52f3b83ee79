"""Devices and processes: which train, and what they exchange."""
