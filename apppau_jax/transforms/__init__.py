"""Transforms of images and masks on the device: normalisation, augmentation."""
