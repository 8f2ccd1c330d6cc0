"""The demonstration: deploys the real templates onto a local cloud and shows environments get their endpoints."""
