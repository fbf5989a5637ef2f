"""The values that options of several commands choose from."""

from embedonce.cache.labels import KINDS

DEVICES = ("auto", "cuda", "mps", "cpu")
ACTIVATIONS = ("quickgelu", "gelu")
DECODERS = ("software", "nvdec")
TEACHER_HEADS = KINDS
SPLITS = ("train", "val", "test")
RUNTIMES = ("torch", "onnx")
CLASS_WEIGHTS = ("none", "balanced")
SAMPLERS = ("epoch", "balanced")
PRELOAD = ("auto", "on", "off")
