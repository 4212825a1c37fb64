"""The exported model's folder, checked without TensorFlow before a job is started."""

import hashlib

from beamio import files
from beamio.files import FileError
from detection.errors import ContractError
from detection.manifests import ModelManifest
from inference.signature_map import SignatureMap

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


def find_model(folder: str, signature_map: SignatureMap | None) -> ModelManifest:
    """The checked manifest of a model of ours, or what stands for it where a map tells about another program's model.

    Raises:
      ContractError: as check_model and foreign_manifest; or a map is given for a model of ours.
    """
    if signature_map is None:
        return check_model(folder)
    if files.exists(files.join(folder, ModelManifest.FILE)):
        raise ContractError(f"--signature_map: {folder} holds a {ModelManifest.FILE} and needs no map")
    return foreign_manifest(folder, signature_map)


def foreign_manifest(folder: str, signature_map: SignatureMap) -> ModelManifest:
    """What there is to know about a model of another program; the map is a part of its identity.

    Raises:
      ContractError: there is no such folder, or no SavedModel in it.
    """
    if not files.exists(files.join(folder, SAVED_MODEL)):
        raise ContractError(f"--model: {folder} holds no {SAVED_MODEL}: it is not the folder of a SavedModel")
    paths = files.iter_matches(files.join(files.escape(folder), "**"))
    digests = {files.name_below(folder, path): hashlib.sha256(files.read_bytes(path)).hexdigest() for path in paths}
    return ModelManifest(
        labels=signature_map.labels,
        image_size=(0, 0),
        anchors={},
        score_threshold=0.0,
        nms_iou=signature_map.nms_iou,
        max_detections=0,
        dataset_fingerprint="",
        metrics={},
        config={},
        files={**digests, "--signature_map": signature_map.digest},
        code_version="",
    )


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
    if files.exists(files.join(folder, SAVED_MODEL)):
        return (
            f"{folder} holds no {ModelManifest.FILE}: it is not the folder of a finished export; if it is a model of"
            " another program, tell by --signature_map what it takes and gives"
        )
    if files.is_folder(folder):
        return f"{folder} holds no {ModelManifest.FILE}: it is not the folder of a finished export"
    return f"there is no folder {folder}"
