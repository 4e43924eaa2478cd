"""What both training stages stand on: ranks, order, schedule, checkpoints, the loop."""
