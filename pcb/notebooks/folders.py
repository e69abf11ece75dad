"""Lets papermill create the folder of its output; otherwise it fails with a traceback.

papermill has no setting for that. It loads this module as an entry point of ``papermill.io``
whenever it is imported. The purpose of these entry points, addresses such as ``s3://``, does not
matter here.
"""

import os

from papermill.iorw import LocalHandler

_write = LocalHandler.write


def _write_in_new_folder(self: LocalHandler, content: str, path: str) -> None:
    # papermill remembers where relative paths start while the notebook runs in another folder.
    folder = os.path.dirname(os.path.join(self._cwd or "", path))
    if folder:
        os.makedirs(folder, exist_ok=True)
    _write(self, content, path)


LocalHandler.write = _write_in_new_folder
