"""Logs of a run's metrics and figures: TensorBoard, Weights & Biases, MLflow."""
