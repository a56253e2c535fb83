"""The layers that generated code is made of; needs torch and timm only."""

from hiergen.nn.bottleneck import Bottlenecks
from hiergen.nn.convnext import ConvNeXts
from hiergen.nn.generalist import Generalist
from hiergen.nn.heads import ClassHeads
from hiergen.nn.lowering import Lowering
from hiergen.nn.mbconv import InvertedResiduals
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.pointwise import PointwiseConvs
from hiergen.nn.registry import register
from hiergen.nn.replicas import Replicas
from hiergen.nn.siblings import Siblings
from hiergen.nn.trunk import Stage, Trunk, stages, trunk_model
from hiergen.taxonomy.nesting import Nesting

Nest = Nesting.from_tree  # what files of 0.1 call it

__all__ = [
    "Bottlenecks",
    "ClassHeads",
    "ConvNeXts",
    "Generalist",
    "HierarchicalNetwork",
    "InvertedResiduals",
    "Lowering",
    "Nest",
    "Nesting",
    "PointwiseConvs",
    "Replicas",
    "Siblings",
    "Stage",
    "Trunk",
    "register",
    "stages",
    "trunk_model",
]
