"""Export folders of models: checked without TensorFlow before a job starts, loaded where images are scored.

Begin with `find_model`, which every command that needs a model calls first; `load_scorer` takes its result.
"""

import hashlib
import logging
from dataclasses import dataclass

from inference.model.options import ModelOptions
from inference.model.saved_model import Detector, load_saved_model
from inference.model.scorer import LoadedModel, Scorer
from inference.model.third_party import SignatureMap, ThirdPartyDetector, read_signature_map
from inference.model.xla_model import XlaDetector, check_signatures
from retinanet_odm import novelty
from retinanet_odm.errors import ContractError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.novelty import Reference
from retinanet_odm.storage import files
from retinanet_odm.storage.file_kinds import is_left_by_system
from retinanet_odm.storage.file_names import escape_glob, name_below, parent_folder
from retinanet_odm.storage.files import FileError
from retinanet_odm.xla import XLA

_logger = logging.getLogger(__name__)

SAVED_MODEL = "saved_model.pb"


@dataclass(frozen=True, kw_only=True)
class CheckedModel:
    """A model whose folder was checked, and how to call it; small enough to be sent to a worker.

    Attributes:
      folder: local or gs://.
      manifest: its model.json, or what takes the place of one for a third-party model.
      signature_map: of a third-party model; None for an export of the trainer.
      options: with a batch size that suits the model.
    """

    folder: str
    manifest: ModelManifest
    signature_map: SignatureMap | None
    options: ModelOptions


def find_model(folder: str, options: ModelOptions) -> CheckedModel:
    """Check the folder of a model.

    Raises:
      ContractError: as check_model, check_signatures, read_signature_map and third_party_manifest; or a signature map
        is given for an export of the trainer.
    """
    # The flag decides, not the folder: a SavedModel with neither model.json nor a map is refused.
    signature_map = None if options.signature_map is None else read_signature_map(options.signature_map)
    if signature_map is None:
        manifest = check_model(folder)
    elif files.exists(files.join(folder, ModelManifest.FILE)):
        raise ContractError(f"--signature_map: {folder} has a {ModelManifest.FILE} and needs no signature map")
    else:
        manifest = third_party_manifest(folder, signature_map)
    if options.runtime == XLA:
        check_signatures(folder, manifest)
    if line := options.describe_tiles(manifest):
        _logger.log(logging.WARNING if line.startswith("warning") else logging.INFO, "%s", line)
    return CheckedModel(folder=folder, manifest=manifest, signature_map=signature_map, options=options.fitted(manifest))


def check_model(folder: str) -> ModelManifest:
    """Read model.json and compare each file that it lists with its digest, to detect incomplete copies.

    Raises:
      ContractError: as read_model_manifest; or a file is missing or differs, or the list has no SavedModel.
    """
    manifest = read_model_manifest(folder)
    if SAVED_MODEL not in manifest.files:
        raise ContractError(f"--model: {folder}/{ModelManifest.FILE} lists no {SAVED_MODEL}: the export is incomplete")
    # A copy that was interrupted may load and score nonsense, so every byte is compared.
    for name, digest in sorted(manifest.files.items()):
        _check_file(files.join(folder, name), digest)
    return manifest


def read_model_manifest(folder: str) -> ModelManifest:
    """Read model.json.

    Raises:
      ContractError: the folder or model.json is missing, or model.json is not of this version.
    """
    path = files.join(folder, ModelManifest.FILE)
    if not files.exists(path):
        raise ContractError(f"--model: {_why_missing(folder)}")
    return ModelManifest.from_json(files.read_text(path, flag="--model"), source=path)


def third_party_manifest(folder: str, signature_map: SignatureMap) -> ModelManifest:
    """Make the manifest of a third-party model. The signature map is part of the model's identity.

    Raises:
      ContractError: there is no such folder, or no SavedModel in it.
    """
    if not files.exists(files.join(folder, SAVED_MODEL)):
        raise ContractError(f"--model: {folder} has no {SAVED_MODEL}: it is not the folder of a SavedModel")
    paths = files.iter_matches(files.join(escape_glob(folder), "**"))
    # No manifest lists these files, so all that lie in the folder identify the model.
    names = {name_below(folder, path): path for path in paths if not is_left_by_system(path)}
    digests = {name: hashlib.sha256(files.read_bytes(path)).hexdigest() for name, path in names.items()}
    # Only what the signature map states is known of such a model. The empty values mean: not known, or no limit.
    return ModelManifest(
        labels=signature_map.labels,
        image_size=(0, 0),
        anchors={},
        score_threshold=signature_map.score_threshold,
        nms_iou=signature_map.nms_iou,
        max_detections=0,
        dataset_fingerprint="",
        metrics={},
        config={},
        files={**digests, "--signature_map": signature_map.digest},
        code_version="",
    )


def _check_file(path: str, digest: str) -> None:
    if not files.exists(path):
        raise ContractError(f"--model: {path} is missing, though {ModelManifest.FILE} lists it: copy the model again")
    try:
        found = hashlib.sha256(files.read_bytes(path)).hexdigest()
    except FileError as error:
        raise ContractError(f"--model: {error}") from error
    if found != digest:
        raise ContractError(
            f"--model: {path} differs from the exported file (expected SHA-256 {digest[:12]}…, found {found[:12]}…):"
            " copy the model again"
        )


def _why_missing(folder: str) -> str:
    if files.is_file(folder):
        parent = parent_folder(folder)
        is_export = files.is_file(files.join(parent, ModelManifest.FILE))
        return f"{folder} is a file; " + (
            f"did you mean {parent}?" if is_export else "expected the folder of an export"
        )
    # The trainer's model_dir was given in place of its export.
    if files.exists(files.join(folder, "export", ModelManifest.FILE)):
        return f"{folder} has no {ModelManifest.FILE}; did you mean {files.join(folder, 'export')}?"
    if files.exists(files.join(folder, SAVED_MODEL)):
        return (
            f"{folder} has no {ModelManifest.FILE}: it is not the folder of a finished export; for a model of another"
            " program, describe its signature by --signature_map"
        )
    if files.is_folder(folder):
        return f"{folder} has no {ModelManifest.FILE}: it is not the folder of a finished export"
    return f"there is no folder {folder}"


def load_scorer(model: CheckedModel) -> Scorer:
    """Load a model; see load_model."""
    return Scorer(load_model(model), name=model.folder, options=model.options, nms_iou=model.manifest.nms_iou)


def load_model(model: CheckedModel) -> LoadedModel:
    """Load the SavedModel of a folder, with TensorFlow.

    Raises:
      ContractError: the folder has changed since it was checked, or the SavedModel lacks a signature that is needed.
      UsageError: as XlaDetector.
    """
    folder, signature_map = model.folder, model.signature_map
    # On a worker this may be minutes after the launcher has looked, and on another machine.
    manifest = read_model_manifest(folder) if signature_map is None else third_party_manifest(folder, signature_map)
    expected, found = model.manifest.model_hash, manifest.model_hash
    if found != expected:
        raise ContractError(f"{folder} holds model {found[:12]}…, but the run began with {expected[:12]}…")
    by_xla = model.options.runtime == XLA
    loaded = load_saved_model(folder, on_cpu=by_xla)
    if signature_map is not None:
        return ThirdPartyDetector(loaded, signature_map, folder=folder)
    # Only tiles need the signature of decoded pixels, which an older export may lack, as it may the reference.
    reference = _read_reference(folder) if novelty.FILE in manifest.files else None
    if by_xla:
        return XlaDetector(loaded, folder=folder, max_images=model.options.max_images, reference=reference)
    return Detector(loaded, folder=folder, with_pixels=model.options.tiling is not None, reference=reference)


def _read_reference(folder: str) -> Reference:
    path = files.join(folder, novelty.FILE)
    try:
        return Reference.from_bytes(files.read_bytes(path), source=path)
    except FileError as error:
        raise ContractError(f"--model: {error}") from error
