"""The samples for daemons that share their records and files: HAProxy, systemd, compose and Kubernetes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from daemon import PATIENCE, SCRIPTS
from front import DEPLOY, SERVERS, htpasswd, replaced, setting

from onec_twisted.daemon.configfile import OPTIONS_IN_FILES, read_config
from onec_twisted.daemon.options import Options
from onec_twisted.daemon.parameters import PARAMETERS, REPEATABLE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif("ONEC_TEST_DEPLOY" not in os.environ, reason="tox -e deploy runs it")

CLUSTER = DEPLOY / "cluster"
FILES = sorted(path for path in CLUSTER.rglob("*") if path.is_file())
SERVICE = CLUSTER / "onec-exchange-cluster.service"
ALONE = DEPLOY / "onec-exchange.service"
TWISTD = "/opt/onec-exchange/bin/twistd"
ERRORS = "/etc/haproxy/errors/onec-exchange-503.http"
EXPOSURE = 1.5
"""What the hardening comes to, of 10, as ``systemd-analyze security`` counts."""

KUBERNETES = "1.31"
"""The oldest version of Kubernetes whose schemas the manifests are checked against; also against the newest."""

SECRET = re.compile(
    r"""://[^/\s@:]*:[^/\s@]*@  # in an address
    | \bpassword=\S
    | \b[A-Z0-9_]*(?:PASSWORD|SECRET|KEY)[A-Z0-9_]*["']?\s*[:=]\s*["']?(?!\$\$\(|\.\.\.|/run/secrets/)[^\s"'{(]
    | -----BEGIN""",
    re.VERBOSE,
)


def loaded(name: str) -> list[dict[str, Any]]:
    """Return the documents of a file in YAML."""
    import yaml  # only the environment has it that runs these tests

    return list(yaml.safe_load_all((CLUSTER / name).read_text(encoding="utf-8")))


def manifest(kind: str) -> dict[str, Any]:
    """Return the one manifest of a kind."""
    (found,) = (one for one in loaded("kubernetes.yaml") if one["kind"] == kind)
    return found


def container() -> dict[str, Any]:
    """Return the daemon's container in Kubernetes."""
    (found,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def daemons() -> dict[str, dict[str, Any]]:
    """Return the services of the compose file that are daemons."""
    (composed,) = loaded("compose.yaml")
    return {name: service for name, service in composed["services"].items() if name.startswith("exchange")}


def command_lines() -> dict[str, list[str]]:
    """Return the daemon's options wherever a sample has them."""
    (unit,) = setting(SERVICE, "ExecStart")
    lines = {name: service["command"] for name, service in daemons().items()}
    return {**lines, "kubernetes": container()["args"], "systemd": shlex.split(unit.partition(" onec-exchange ")[2])}


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_no_sample_has_a_secret(path: Path) -> None:
    """No password and no key; what has them is made by the reader."""
    assert SECRET.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "postgresql://onec:hush@db.example/onec",
        "host=db password=hush",
        "POSTGRES_PASSWORD: hush",
        "PGPASSWORD=hush",
        'AWS_SECRET_ACCESS_KEY: "hush"',
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_a_secret_would_be_found(line: str) -> None:
    """The expression that looks for secrets finds them."""
    assert SECRET.search(line)


def test_every_option_is_one() -> None:
    """Command lines, environments and the file name only options that the daemon has."""
    known = {name for name, *_ in PARAMETERS} | set(REPEATABLE)
    told = {word[2:].partition("=")[0] for words in command_lines().values() for word in words}
    variables = [name for service in daemons().values() for name in service["environment"]]
    variables += [one["name"] for one in container()["env"]]
    named = {name[14:].lower().replace("_", "-") for name in variables if name.startswith("ONEC_EXCHANGE_")}

    assert told <= known
    assert named == {"name"}
    assert set(read_config(CLUSTER / "onec-exchange.toml").table) <= OPTIONS_IN_FILES


def test_the_daemon_takes_the_options(tmp_path: Path) -> None:
    """The file alone, and each command line, has good values, and says that records and files are shared."""
    users = f"htpasswd:{htpasswd(tmp_path / 'htpasswd')}"
    sample = (CLUSTER / "onec-exchange.toml").read_text(encoding="utf-8")
    path = tmp_path / "settings.toml"
    path.write_text(re.sub(r"htpasswd:[^\"]+", users, sample), encoding="utf-8")
    for words in ([f"--config={path}"], *command_lines().values()):
        changed = [re.sub(r"htpasswd:.+", users, word).replace("%H", "host-1") for word in words]
        changed = [re.sub(r"--config=.*", f"--config={path}", word) for word in changed]
        options = Options()
        options.parseOptions(changed)

        assert options["catalog"].startswith("postgresql://onec@"), words
        assert options["store"].startswith("s3://onec?"), words
        assert options["admin-auth"], "who can connect to the status page from another machine needs a password"


def haproxy_finds_nothing(site: str, folder: Path) -> str:
    """Let HAProxy check a site; return what it prints, with its exit status if that is not 0."""
    program = shutil.which("haproxy", path=SERVERS)
    assert program is not None, "haproxy is not installed"
    (folder / "haproxy.cfg").write_text(site, encoding="utf-8")
    done = subprocess.run(
        [program, "-c", "-V", "-f", str(folder / "haproxy.cfg")], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr + (f"exit status {done.returncode}" if done.returncode else "")


@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_haproxy_takes_the_sites(mode: str, tmp_path: Path) -> None:
    """It has nothing to warn of; with a word misspelled, it says so."""
    site = (CLUSTER / f"haproxy-{mode}.cfg").read_text(encoding="utf-8")
    for number in (1, 2, 3):
        site = replaced(site, {f"exchange{number}:8080": f"127.0.0.1:808{number}"})
    site = site.replace(ERRORS, str(CLUSTER / "errors" / "503.http"))

    assert haproxy_finds_nothing(site, tmp_path).strip() == "Configuration file is valid"
    assert "redespatch" in haproxy_finds_nothing(site.replace("option redispatch", "option redespatch"), tmp_path)


def test_what_haproxy_answers_itself_fits_1c() -> None:
    """The first word is the one that nodes know, and lines of the head end as HTTP's do."""
    head, _, body = (CLUSTER / "errors" / "503.http").read_bytes().partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert body.splitlines()[0] == b"failure"


def settings_of(path: Path) -> list[str]:
    """Return the settings of a unit, one a line."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def test_the_unit_is_the_other_one_without_a_socket() -> None:
    """What it has of its own are its command line, its scratch folder, and where libpq finds the password."""
    own = set(settings_of(SERVICE)) - set(settings_of(ALONE))
    others = set(settings_of(ALONE)) - set(settings_of(SERVICE))
    (command,) = setting(SERVICE, "ExecStart")

    assert {line.partition("=")[0] for line in own if not line.startswith(" ")} == {
        *("Description", "Wants", "After", "Environment", "StateDirectory", "StateDirectoryMode")
    }
    assert {line.partition("=")[0] for line in others if not line.startswith(" ")} == {
        *("Description", "Requires", "After", "RuntimeDirectory", "RuntimeDirectoryMode", "ReadWritePaths", "Also")
    }
    assert [check.split() for check in setting(SERVICE, "ExecStartPre")] == [[*command.split(), "--check"]]
    table = read_config(CLUSTER / "onec-exchange.toml").table
    assert table["media-root"] == f"/var/lib/{setting(SERVICE, 'StateDirectory')[0]}"


def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path) -> None:
    """Every setting is known, every program is there, and the walls are as high as those of the daemon alone."""
    unit = tmp_path / SERVICE.name
    unit.write_text(SERVICE.read_text(encoding="utf-8").replace(TWISTD, f"{SCRIPTS}/twistd"), encoding="utf-8")

    def analyze(*arguments: object) -> str:
        words = ["systemd-analyze", "--no-pager", *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert analyze("verify", unit) == ""
    said = analyze("security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", unit)
    assert float(re.findall(r"Overall exposure level .*: ([0-9.]+)", said)[0]) <= EXPOSURE


def test_the_compose_file_fits_together() -> None:
    """Secrets, files and services that one part names are those of another; each daemon has a name of its own."""
    (composed,) = loaded("compose.yaml")
    services = composed["services"]
    asked = {name for service in services.values() for name in service.get("secrets", [])}
    told = (CLUSTER / "compose.yaml").read_text(encoding="utf-8").partition("x-daemon:")[0]

    assert asked == composed["secrets"].keys()
    assert all(re.search(rf"(> |-cB ){re.escape(name)}\b", told) for name in asked), "the comment makes each of them"
    assert {name for one in services.values() for name in one.get("depends_on", {})} <= services.keys()
    assert (CLUSTER / daemons()["exchange1"]["build"]["context"] / "deploy" / "Dockerfile").is_file()
    for name, service in daemons().items():
        assert service["environment"] == {"PGPASSFILE": "/run/secrets/pgpass", "ONEC_EXCHANGE_NAME": name}
        paths = re.findall(
            r"/run/secrets/([\w.-]+)", " ".join([*service["command"], *service["environment"].values()])
        )
        assert sorted(paths) == sorted(service["secrets"])
    site = (CLUSTER / "haproxy-tcp.cfg").read_text(encoding="utf-8")
    assert set(re.findall(r"^    server \d (\w+):8080$", site, re.MULTILINE)) == daemons().keys()
    assert services["haproxy"]["volumes"] == ["./haproxy-tcp.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro"]


def test_the_image_has_what_the_cluster_needs() -> None:
    """The argument of the build is the one that the Dockerfile has, and the extra is one of ours."""
    project = (DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8")
    extras = project.partition("[project.optional-dependencies]")[2]
    (extra,) = {service["build"]["args"]["EXTRAS"] for service in daemons().values()}

    assert re.search(rf"^{extra.strip('[]')} = ", extras, re.MULTILINE)
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert "\nARG EXTRAS=\n" in dockerfile.partition("\nRUN ")[0]
    assert '".$EXTRAS"' in dockerfile
    assert f"--build-arg 'EXTRAS={extra}'" in (CLUSTER / "kubernetes.yaml").read_text(encoding="utf-8")


def test_kubernetes_takes_the_manifests() -> None:
    """They fit the schemas of old and new versions, and a word misspelled in any of them does not."""
    import kubernetes_validate  # only the environment has it that runs these tests

    versions = (KUBERNETES, kubernetes_validate.latest_version())
    kinds = []
    for version in versions:
        for one in loaded("kubernetes.yaml"):
            kubernetes_validate.validate(one, version, strict=True)
            kinds.append(one["kind"])
            one["spec"]["selectr"] = one["spec"].pop("selector")
            with pytest.raises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate(one, version, strict=True)
    assert kinds == ["Deployment", "Service", "PodDisruptionBudget"] * len(versions)


def test_the_manifests_fit_together() -> None:
    """Labels, ports, volumes and times of one are those that another one, or the daemon, means."""
    template = manifest("Deployment")["spec"]["template"]
    pod, main = template["spec"], container()
    labels = template["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for port in main["ports"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    words = " ".join(main["args"])

    assert manifest("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("Service")["spec"]["selector"] == labels
    assert {port["targetPort"] for port in manifest("Service")["spec"]["ports"]} == {"exchange"}
    assert f"--listen=ssl:{ports['exchange']}:" in words
    assert f"--admin=tcp:{ports['admin']} " in words
    probes = {main[f"{kind}Probe"]["httpGet"]["path"]: kind for kind in ("readiness", "liveness")}
    assert probes == {"/health/ready": "readiness", "/health/live": "liveness"}
    assert {mount["name"] for mount in main["volumeMounts"]} == volumes.keys()
    places = {mount["mountPath"] for mount in main["volumeMounts"]}
    assert {path.rpartition("/")[0] for path in re.findall(r"[:=](/etc/[^: ]+)", words)} <= places
    (sleep,) = (int(word) for word in main["lifecycle"]["preStop"]["exec"]["command"] if word.isdigit())
    assert pod["terminationGracePeriodSeconds"] > sleep + 30 + 30
    uploads, limit = (int(re.findall(rf"--{name}=(\d+)", words)[0]) for name in ("max-uploads", "file-limit"))
    assert int(volumes["scratch"]["emptyDir"]["sizeLimit"].removesuffix("Gi")) * 1024 > uploads * limit
    assert pod["securityContext"]["runAsUser"] == int(
        re.findall(r"^USER (\d+):", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[0]
    )


def test_the_dashboard_counts_what_is_shared_once() -> None:
    """It is that of daemons alone, but for records: each daemon tells the same of them."""
    alone = (DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8")
    shared = (DEPLOY / "cluster" / "grafana-dashboard.json").read_text(encoding="utf-8")
    of_records = r"sum\((onec_(?:handoffs|damaged_files|sessions|sessions_owing|unfinished_uploads)\{)"
    changed = [
        (before, after)
        for before, after in zip(alone.splitlines(), shared.splitlines(), strict=True)
        if before != after
    ]
    told = [(before, after) for before, after in changed if '"expr"' in before]
    assert len(told) == len(re.findall(of_records, alone)) > 5
    assert all(re.sub(of_records, r"max(\1", before) == after for before, after in told)
    assert len(changed) == len(told) + 2, "its title and its id"
