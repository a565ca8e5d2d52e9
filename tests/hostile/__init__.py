"""Files of strangers: every reader is given damaged and hostile variants of a valid file."""
