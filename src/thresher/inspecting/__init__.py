"""What the theory of clustered selections needs, measured on a sample; files for the report. Nothing is chosen here."""
