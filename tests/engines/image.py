"""The image that all engines run, built on the spot from the host's static busybox."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

from busybox import busybox

from .processes import PATH

ENV = [f"PATH={PATH}"]


@functools.cache
def rootfs_tar() -> bytes:
    """A root filesystem as a tar: busybox with its applets, users root and alice (1000), a file without an x bit."""
    applets = subprocess.run([busybox(), "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:

        def add(name: str, kind: bytes, mode: int, data: bytes = b"", link: str = "", uid: int = 0) -> None:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname, info.size = kind, mode, link, len(data)
            info.uid = info.gid = uid
            tar.addfile(info, io.BytesIO(data))

        for name in ("bin", "etc", "proc", "sys", "dev", "run", "root", "home", "var", "mnt"):
            add(name, tarfile.DIRTYPE, 0o755)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        add("home/alice", tarfile.DIRTYPE, 0o755, uid=1000)
        add("bin/busybox", tarfile.REGTYPE, 0o755, busybox().read_bytes())
        for applet in applets:
            if applet != "busybox":
                add(f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
        users = b"root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
        add("etc/passwd", tarfile.REGTYPE, 0o644, users)
        add("etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\ntty:x:5:\nalice:x:1000:\nstaff:x:50:alice\n")
        add("etc/no-x-bit", tarfile.REGTYPE, 0o644, b"#!/bin/sh\n")
        add("etc/garbage", tarfile.REGTYPE, 0o755, b"\x01\x02 no format the kernel knows\n")
    return buffer.getvalue()


def write_oci_archive(target: Path, name: str) -> None:
    """Write an OCI image layout (image-spec 1.0, one layer, for this architecture) as a tar, referenced as `name`."""
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    layer = rootfs_tar()
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    layer_entry = blob(layer, "application/vnd.oci.image.layer.v1.tar")
    image = {
        "architecture": arch,
        "os": "linux",
        "config": {"Env": ENV, "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [layer_entry["digest"]]},
    }
    config_entry = blob(json.dumps(image).encode(), "application/vnd.oci.image.config.v1+json")
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": manifest_type, "config": config_entry, "layers": [layer_entry]}
    entry = blob(json.dumps(manifest).encode(), manifest_type)
    entry["annotations"] = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        **{f"blobs/sha256/{digest}": data for digest, data in blobs.items()},
    }
    with tarfile.open(target, "w") as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
