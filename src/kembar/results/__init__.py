"""What a run found and how it is told: the run folder, the report, charts, explanations, scores."""
