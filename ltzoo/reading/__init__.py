"""Reads files that a stranger may have written: bounded in size, without side effects, and refused where in doubt.

Import from the modules: each needs another library, and `ltzoo.data` loads none of them.
"""
