"""Fine-tuning: a recipe, its price, and the transformers Trainer."""
