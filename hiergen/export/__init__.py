"""Networks as files for other programs: ONNX, PyTorch's exported programs, safetensors; run before they are kept."""

from hiergen.export.job import FORMATS, export
from hiergen.export.onnx import to_onnx
from hiergen.export.pt2 import to_pt2
from hiergen.export.safetensors import to_safetensors
from hiergen.export.trace import Exported

__all__ = ["FORMATS", "Exported", "export", "to_onnx", "to_pt2", "to_safetensors"]
