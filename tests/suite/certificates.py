"""Creates the certificates that test servers present, with the openssl command line.

`make_certificates(folder)` gives a `Certificates`: the CA to trust (`ca`, a PEM file; `ca_text`, its text, as a
connection's `ca` has it), another CA that signed none of them (`stranger`), and three certificates of the CA, each with
`certificate` and `key` as PEM files: `good` for `localhost` and `127.0.0.1`, `expired` for the same names but over
since 2020, and `misnamed`, valid but for `elsewhere.example`. Keys are P-256, readable by their owner alone; a server
that runs as another user needs a copy of its own.

As a fixture: `from certificates import certificates` in the test module, then ask for `certificates`.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CA_CONFIG = """
[ca]
default_ca = osiris
[osiris]
dir = {folder}
database = $dir/index.txt
serial = $dir/serial
new_certs_dir = $dir
default_md = sha256
policy = any
copy_extensions = none
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {names}
"""


@dataclass(frozen=True)
class Certificate:
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    ca: Path
    stranger: Path
    good: Certificate
    expired: Certificate
    misnamed: Certificate

    @property
    def ca_text(self) -> str:
        return self.ca.read_text()


def make_certificates(folder: Path) -> Certificates:
    """Creates all of them in `folder`, which is created too."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01\n")
    authorities = {name: _authority(folder, name) for name in ("ca", "stranger")}
    local = "DNS:localhost, IP:127.0.0.1"
    return Certificates(
        **authorities,
        good=_signed(folder, "good", local, "20200101000000Z", "21000101000000Z"),
        expired=_signed(folder, "expired", local, "20190101000000Z", "20200101000000Z"),
        misnamed=_signed(folder, "misnamed", "DNS:elsewhere.example", "20200101000000Z", "21000101000000Z"),
    )


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def _authority(folder: Path, name: str) -> Path:
    """Creates a CA."""
    config = _config(folder, name, "DNS:unused.example")
    _openssl(
        folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
        "-subj", f"/CN=Osiris test {name}", "-config", config, "-extensions", "authority",
        "-keyout", f"{name}.key", "-out", f"{name}.pem",
    )  # fmt: skip
    return folder / f"{name}.pem"


def _signed(folder: Path, name: str, names: str, start: str, end: str) -> Certificate:
    """Creates a key and has the CA certify it; only `openssl ca` accepts the dates that an expired certificate
    needs."""
    config = _config(folder, name, names)
    _openssl(
        folder, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", f"/CN=Osiris test {name}", "-config", config, "-keyout", f"{name}.key", "-out", f"{name}.csr",
    )  # fmt: skip
    _openssl(
        folder, "ca", "-batch", "-notext", "-config", config, "-extensions", "server", "-cert", "ca.pem",
        "-keyfile", "ca.key", "-startdate", start, "-enddate", end, "-in", f"{name}.csr", "-out", f"{name}.pem",
    )  # fmt: skip
    return Certificate(folder / f"{name}.pem", folder / f"{name}.key")


def _config(folder: Path, name: str, names: str) -> str:
    path = folder / f"{name}.cnf"
    path.write_text("[req]\ndistinguished_name = any\n" + CA_CONFIG.format(folder=folder, names=names))
    return path.name


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"openssl {arguments[0]} failed:\n{done.stderr}"
