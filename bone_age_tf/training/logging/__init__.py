"""Where a run's metrics and pictures go."""
