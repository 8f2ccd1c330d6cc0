"""CodeArtifact tokens: valid whenever a container of an environment starts."""
