"""Networks leave the framework here: weights, torch.export, ONNX, each with a parity check."""

from nas.export.base import Exporter, ExportRecord
from nas.export.run import FORMATS, export_all
from nas.export.weights import load_weights, save_weights

__all__ = ["FORMATS", "ExportRecord", "Exporter", "export_all", "load_weights", "save_weights"]
