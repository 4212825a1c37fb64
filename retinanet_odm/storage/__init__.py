"""Where bytes are stored: files of this machine and of gs://, members of archives, TFRecord frames.

Begin with `files`: all other rooms read and write by its functions, wherever a path points.

  files       reading, writing and listing; `local` and `gcs` implement it for each storage (`file_system`)
  local       files of this machine
  folder_lock the lock that lets one run at a time write into a folder
  gcs_client  the connection to Google Cloud Storage, its retries and errors
  file_names  patterns of paths; the names of images and hidden files
  zip_files   members of archives, read in place; `tar_files` likewise
  tfrecord    frames of TFRecord files, without TensorFlow
  no_match    why a path that was typed matches nothing
  prefetch    reading ahead in threads

Nothing here imports Beam.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from retinanet_odm.storage.file_names import escape_glob, looks_like_image, to_regex
    from retinanet_odm.storage.files import list_files, open_binary, read_bytes, write_atomic
    from retinanet_odm.storage.folder_lock import lock_folder
    from retinanet_odm.storage.prefetch import map_ahead, start_ahead
    from retinanet_odm.storage.tar_files import list_tar_members, read_tar_members, stream_tar_members
    from retinanet_odm.storage.tfrecord import frame_record, read_frames
    from retinanet_odm.storage.zip_files import list_zip_members, open_zip_member, read_zip_members

__all__ = [
    "escape_glob",
    "frame_record",
    "list_files",
    "list_tar_members",
    "list_zip_members",
    "lock_folder",
    "looks_like_image",
    "map_ahead",
    "open_binary",
    "open_zip_member",
    "read_bytes",
    "read_frames",
    "read_tar_members",
    "read_zip_members",
    "start_ahead",
    "stream_tar_members",
    "to_regex",
    "write_atomic",
]

# Imported on first use: a program that reads files needs no archives.
_MODULES = {
    "escape_glob": "file_names",
    "frame_record": "tfrecord",
    "list_files": "files",
    "list_tar_members": "tar_files",
    "list_zip_members": "zip_files",
    "lock_folder": "folder_lock",
    "looks_like_image": "file_names",
    "map_ahead": "prefetch",
    "open_binary": "files",
    "open_zip_member": "zip_files",
    "read_bytes": "files",
    "read_frames": "tfrecord",
    "read_tar_members": "tar_files",
    "read_zip_members": "zip_files",
    "start_ahead": "prefetch",
    "stream_tar_members": "tar_files",
    "to_regex": "file_names",
    "write_atomic": "files",
}

__getattr__ = lazy_exports(__name__, _MODULES)
