"""The seed of a user's image: what cloud-init reads at its boot, and so begins the job."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

# The job's disk is found by its serial; its runner lies on it. All of it is systemd's to run: what
# cloud-init runs itself would be in cloud-init's domain. The unit's name is one that no image has,
# the built-in machine's own included.
_USER_DATA = """\
#cloud-config
runcmd:
  - - systemd-run
    - --no-block
    - --unit=wsgi-sepkg-try
    - /bin/sh
    - -ec
    - |
      mkdir -p /run/job
      cd /run/job
      tar -xf /dev/disk/by-id/virtio-job machine-job
      exec /bin/bash ./machine-job
"""


def write(path: Path) -> None:
    """Write a disk of cloud-init's data source NoCloud: ISO 9660, labelled cidata.

    The names of its files and its label are those of cloud-init's documentation of NoCloud. Each
    seed is another instance, so that an image whose cloud-init has run before runs it again.
    """
    import pycdlib

    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    try:
        texts = {"meta-data": f"instance-id: {uuid.uuid4()}\n", "user-data": _USER_DATA}
        for name, text in texts.items():
            data = text.encode()
            iso.add_fp(
                io.BytesIO(data),
                len(data),
                f"/{name.replace('-', '').upper()}.;1",
                rr_name=name,
                joliet_path=f"/{name}",
            )
        iso.write(str(path))
    finally:
        iso.close()
