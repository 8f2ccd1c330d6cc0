"""Fixtures and helpers for tests that stand on the local cloud: those of the product, and its own.

``served`` and ``airflows`` hold fixtures; ``conftest.py`` of the repository loads them for every test.
"""
