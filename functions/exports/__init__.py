"""Exports: declared metadata of an environment, verified, in S3."""
