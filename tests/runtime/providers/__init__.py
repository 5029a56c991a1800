"""Where models are asked."""
