"""The container image and the compose file: what they promise, and that the image runs the demo.

The image is built without a daemon and without a registry: buildah, on a Debian made by debootstrap. That
takes minutes and is asked for with THERMAL_SR_TEST_IMAGE=1, after `apt-get install buildah debootstrap`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
BASE = "docker.io/library/python:3.11-slim-bookworm"
FILLED_IN = {
    "POSTGRES_PASSWORD": "a1",
    "PREFECT_AUTH": "night:a2",
    "THERMAL_SR_ARCHIVE": "/archive",
    "THERMAL_SR_PRODUCTS": "/products",
    "THERMAL_SR_SITE": "/site.toml",
}


@pytest.fixture(scope="module")
def services():
    """The services of the compose file, as they are written."""
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]


def test_the_server_listens_on_loopback_until_told_otherwise(services):
    assert services["server"]["ports"] == ["${THERMAL_SR_BIND:-127.0.0.1}:4200:4200"]
    assert [name for name in services if "ports" in services[name]] == ["server"]


def test_the_server_has_a_password_and_guards_against_forged_requests(services):
    told = services["server"]["environment"]
    assert told["PREFECT_SERVER_API_AUTH_STRING"] == "${PREFECT_AUTH}"
    assert told["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "PREFECT_AUTH"])
def test_no_secret_has_a_default(name):
    assert f"${{{name}:?" in (DOCKER / "compose.yaml").read_text()
    assert re.search(rf"^{name}=$", (DOCKER / ".env.example").read_text(), re.MULTILINE)


def test_every_service_that_stays_has_a_health_check(services):
    checked = {name for name, service in services.items() if "test" in service.get("healthcheck", {})}
    assert checked == set(services) - {"setup"}


def test_the_image_runs_as_a_numeric_user_that_is_not_root():
    assert re.findall(r"^USER (.+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE) == ["10001:10001"]


def test_every_package_of_the_image_is_pinned_and_a_wheel():
    installs = re.findall(r"pip install.*?(?:&&|\n[^ ])", (DOCKER / "Dockerfile").read_text(), re.DOTALL)
    assert len(installs) == 3
    for install in installs:
        pinned = "--constraint constraints.txt" in install and "--only-binary=:all:" in install
        assert pinned or "--no-deps" in install


def test_the_compose_file_is_valid():
    tool = next((tool for tool in ("docker-compose", "podman-compose") if shutil.which(tool)), None)
    if tool is None:
        pytest.skip("no docker-compose here to check the compose file with")
    command = [tool, "--file", DOCKER / "compose.yaml", "config"]
    answer = subprocess.run(command, env={**os.environ, **FILLED_IN}, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "127.0.0.1:4200:4200" in answer.stdout


def test_hadolint_finds_nothing():
    beside = Path(sys.executable).with_name("hadolint")
    tool = beside if beside.exists() else shutil.which("hadolint")
    if tool is None:
        pytest.skip("no hadolint here: its wheels are for x86-64 Linux")
    command = [tool, DOCKER / "Dockerfile"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A function that runs a command in a container of the image."""
    if os.environ.get("THERMAL_SR_TEST_IMAGE") != "1":
        pytest.skip("building the image takes minutes; ask for it with THERMAL_SR_TEST_IMAGE=1")
    if lacking := [tool for tool in ("buildah", "debootstrap") if shutil.which(tool) is None]:
        pytest.skip(f"no {', '.join(lacking)} here; apt-get install buildah debootstrap")
    folder = tmp_path_factory.mktemp("image")
    environment = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}

    def buildah(*arguments, timeout_s=600):
        command = ["buildah", *map(str, arguments)]
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s)
        assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-2000:]
        return answer.stdout.strip()

    if BASE not in buildah("images", "--format", "{{.Name}}:{{.Tag}}"):
        packages = "--include=python3,python3-venv,ca-certificates"
        subprocess.run(
            ["debootstrap", "--variant=minbase", packages, "bookworm", folder / "base"], check=True
        )
        scratch = buildah("from", "scratch")
        buildah("copy", "--quiet", scratch, folder / "base", "/")
        buildah("commit", "--quiet", "--rm", scratch, BASE)
    settings = folder / "pip.conf"
    shown = subprocess.run(["pip", "config", "list"], capture_output=True, text=True).stdout
    found = dict(re.findall(r"^(?:global|:env:)\.([a-z-]+)='(.*)'$", shown, re.MULTILINE))
    settings.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in found.items()))
    mounts = {"/etc/ssl/certs": "/etc/ssl/certs", settings: "/etc/pip.conf"}
    for word in " ".join(found.values()).split():  # indexes and wheels that are folders of this machine
        place = Path(*Path(word.removeprefix("file://")).parts[:3])
        if place.is_absolute() and len(place.parts) == 3 and place.parts[1] != "etc" and place.is_dir():
            mounts[place] = place
    volumes = [word for outside, inside in mounts.items() for word in ("--volume", f"{outside}:{inside}:ro")]
    index = found.get("extra-index-url", "https://download.pytorch.org/whl/cpu").split()[0]
    built = [
        "--tag",
        "thermal-sr",
        "--build-arg",
        f"TORCH_INDEX={index}",
        "--file",
        DOCKER / "Dockerfile",
        ROOT,
    ]
    buildah("bud", "--pull-never", *volumes, *built, timeout_s=1800)
    container = buildah("from", "--pull-never", "localhost/thermal-sr")
    yield lambda *command: buildah("run", container, "--", *command)
    buildah("rm", container)


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_image_runs_the_demo_as_an_ordinary_user(image):
    assert image("id", "-u") == "10001"
    assert "demo_1" in image("thermal-sr", "demo", "--out", "/tmp/demo", "--set", "recipe.preset=fast")


@pytest.mark.docker
@pytest.mark.slow
def test_no_compiler_is_left_in_the_image(image):
    tools = "cc gcc g++ clang make ld"
    assert image("sh", "-c", f"for tool in {tools}; do command -v $tool; done; true") == ""
