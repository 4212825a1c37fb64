"""The exported model's folder, checked without TensorFlow before a job is started."""

import hashlib

from beamio import files
from beamio.files import FileError
from detection.errors import ContractError
from detection.manifests import ModelManifest

SAVED_MODEL = "saved_model.pb"


def read_manifest(folder: str) -> ModelManifest:
    """Reads model.json.

    Raises:
      ContractError: the folder or model.json is missing, or model.json is not of this version.
    """
    path = files.join(folder, ModelManifest.FILE)
    if not files.exists(path):
        raise ContractError(f"--model: {_why_missing(folder)}")
    return ModelManifest.from_json(files.read_text(path, flag="--model"), source=path)


def check_model(folder: str) -> ModelManifest:
    """Reads model.json and compares every file that it lists with its digest: a half-copied model must not look whole.

    Raises:
      ContractError: as read_manifest; or a file is missing or differs, or the list has no SavedModel.
    """
    manifest = read_manifest(folder)
    if SAVED_MODEL not in manifest.files:
        raise ContractError(f"--model: {folder}/{ModelManifest.FILE} lists no {SAVED_MODEL}: it is not a whole export")
    for name, digest in sorted(manifest.files.items()):
        _check_file(files.join(folder, name), digest)
    return manifest


def _check_file(path: str, digest: str) -> None:
    if not files.exists(path):
        raise ContractError(f"--model: {path} is missing, though {ModelManifest.FILE} lists it: copy the model again")
    try:
        found = hashlib.sha256(files.read_bytes(path)).hexdigest()
    except FileError as error:
        raise ContractError(f"--model: {error}") from error
    if found != digest:
        raise ContractError(
            f"--model: {path} differs from what was exported (SHA-256 {digest[:12]}… expected, found {found[:12]}…):"
            " copy the model again"
        )


def _why_missing(folder: str) -> str:
    if files.exists(files.join(folder, "export", ModelManifest.FILE)):
        return f"{folder} holds no {ModelManifest.FILE}; did you mean {files.join(folder, 'export')}?"
    if files.is_folder(folder):
        return f"{folder} holds no {ModelManifest.FILE}: it is not the folder of a finished export"
    return f"there is no folder {folder}"
