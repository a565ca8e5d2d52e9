"""Speed, memory and rounding, measured: one command each, run from the repository's root."""
