"""What the parts of Groundcrew share: events, settings, errors, observability and the road to AWS."""
