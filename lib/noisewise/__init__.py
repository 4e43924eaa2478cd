"""noisewise: which pretraining, with which noisy-label method, survives the label noise in your images?"""

__version__ = "0.1.0"
