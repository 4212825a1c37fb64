"""Training on a TPU VM that is rented for one run: the parts of ``python -m trainer.submit``."""
