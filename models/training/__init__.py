"""The training loop: epochs, checkpoints, optimizers, continued training."""
