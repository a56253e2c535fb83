"""Pictures: trees and architectures as SVG, feature maps of branches on a real image."""
