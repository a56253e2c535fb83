"""Networks as files for other programs, in plain form; each is run before it is kept."""

from hiergen.models.export.deploy import Exported, Form
from hiergen.models.export.onnx import to_onnx
from hiergen.models.export.parts import Part, Parts, export_parts, to_parts
from hiergen.models.export.programs import to_openvino, to_pt2, to_safetensors, to_torchscript
from hiergen.models.export.run import EXPORTERS, export
from hiergen.models.export.source import to_plain

__all__ = [
    "EXPORTERS",
    "Exported",
    "Form",
    "Part",
    "Parts",
    "export",
    "export_parts",
    "to_onnx",
    "to_openvino",
    "to_parts",
    "to_plain",
    "to_pt2",
    "to_safetensors",
    "to_torchscript",
]
