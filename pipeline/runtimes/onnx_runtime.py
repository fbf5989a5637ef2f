"""Running ONNX models on a CPU. The only importer of ONNX Runtime's sessions; knows names and arrays."""

import numpy as np
import onnxruntime


class Session:
    """An ONNX model ready to run. threads: of one operator; None for as many as there are cores.

    Its threads sleep between calls: several sessions that take turns would otherwise steal each other's cores.
    """

    def __init__(self, model: bytes, threads: int | None = None):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self._session.get_outputs()]

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Arrays by input name in, arrays by output name out."""
        return dict(zip(self.outputs, self._session.run(None, inputs), strict=True))
