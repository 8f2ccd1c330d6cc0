"""Cleanup: metadata databases stay small; a row goes only if it is old, exported or expendable."""
