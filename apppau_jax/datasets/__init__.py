"""Raw files to arrays: readers, TFDS builders, splits and augmentation."""
