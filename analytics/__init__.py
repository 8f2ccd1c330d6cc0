"""What reads the exports: tables, views and queries, written from the declaration."""
