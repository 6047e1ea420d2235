"""From the network's output in months to the predicted bone age."""
