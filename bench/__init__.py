"""The measured claims: ``make bench`` runs them and writes ``results.json``, which is committed."""
