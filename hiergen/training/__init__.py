"""The bundled trainer: data, recipes, the loop, metrics."""
