"""Running ONNX models. The only importer of ONNX Runtime's sessions."""

from pathlib import Path

import numpy as np
import onnxruntime

CUDA_PROVIDER = "CUDAExecutionProvider"


def has_gpu_support() -> bool:
    """Whether the installed ONNX Runtime can use GPUs of NVIDIA."""
    return CUDA_PROVIDER in onnxruntime.get_available_providers()


class Session:
    """An ONNX model ready to run. threads: per operator; None: one per core. gpu: number of the GPU; None: on the CPU.

    Its threads sleep between calls, so that several sessions that run in turns do not compete for cores.
    """

    def __init__(self, model: bytes | Path, threads: int | None = None, gpu: int | None = None):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = threads
        providers: list = ["CPUExecutionProvider"]
        if gpu is not None:
            providers.insert(0, (CUDA_PROVIDER, {"device_id": gpu}))
        source = str(model) if isinstance(model, Path) else model
        self._session = onnxruntime.InferenceSession(source, options, providers=providers)
        self.inputs, self.outputs = self._session.get_inputs(), [one.name for one in self._session.get_outputs()]
        self.output_ranks = {one.name: len(one.shape or ()) for one in self._session.get_outputs()}

    @property
    def metadata(self) -> dict[str, str]:
        """What was written into the model, such as its settings as JSON."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Run the model. Arrays by input name -> arrays by output name."""
        return dict(zip(self.outputs, self._session.run(None, inputs), strict=True))
