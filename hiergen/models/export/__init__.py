"""Networks as files for other programs: ONNX, PyTorch's exported programs, safetensors; run before they are kept."""

from hiergen.models.export.onnx import to_onnx
from hiergen.models.export.run import EXPORTERS, export, to_pt2, to_safetensors
from hiergen.models.export.trace import Exported

__all__ = ["EXPORTERS", "Exported", "export", "to_onnx", "to_pt2", "to_safetensors"]
