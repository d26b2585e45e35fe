"""Episodes, and the Gymnasium face of them."""
