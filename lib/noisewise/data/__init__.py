"""Images and labels: readers, split, pack, loader, augmentation, noise."""
