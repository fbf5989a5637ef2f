"""The values that options of several commands choose from."""

DEVICES = ("auto", "cuda", "mps", "cpu")
ACTIVATIONS = ("quickgelu", "gelu")
DECODERS = ("software", "nvdec")
TEACHER_HEADS = ("zero-shot", "fitted", "none")
SPLITS = ("train", "val", "test")
RUNTIMES = ("torch", "onnx")
