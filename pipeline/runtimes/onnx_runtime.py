"""Running ONNX models on a CPU. The only importer of ONNX Runtime's sessions."""

import numpy as np
import onnxruntime


class Session:
    """An ONNX model ready to run. threads: per operator; None: one per core.

    Its threads sleep between calls, so that several sessions that run in turns do not compete for cores.
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
        """Run the model. Arrays by input name -> arrays by output name."""
        return dict(zip(self.outputs, self._session.run(None, inputs), strict=True))
