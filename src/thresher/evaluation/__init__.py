"""Scores with standard errors. One file per measure; a task file names the measure and its settings."""
