"""Public sets that TensorFlow Datasets does not have, as builders for it."""
