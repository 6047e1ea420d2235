"""From the network's months to the answer."""
