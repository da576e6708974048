"""Made from arqonmesh.proto by `python -m arqonmesh.api.generate`; not edited by hand."""
