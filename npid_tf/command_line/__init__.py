"""From the words of a command line to dataclasses of flags, and how programs end."""
