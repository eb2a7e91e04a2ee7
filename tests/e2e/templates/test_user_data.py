"""The user data of instances, run with stand-ins for every program that changes a system: what they do, and when not.

The stand-ins note how they were called and keep a copy of what would be installed. Nothing else is within reach of the
scripts, so they do no harm whatever is wrong with them. `packaging/test/install` runs them on booted systems.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = ROOT / "packaging/user-data"
UNIT = "aws-kinesis-agent.service"
USER = "aws-kinesis-agent-user"
VERSION = "0.1.0"
SHARED = "# ---- From here on the same for every distribution ----"

# What EC2 takes as user data.
LARGEST = 16 * 1024

# What only reads, or writes into the scripts' own folder.
REAL = ("bash", "cat", "chmod", "curl", "mktemp", "rm", "sha256sum", "uname")

STAND_IN = """#!{bash}
echo "$(basename "$0") $*" >>"$NOTES/calls"
case "$(basename "$0") $1" in
"install "*) cp "${{@: -2:1}}" "$NOTES/$(basename "${{@: -1}}")" ;;
"getent "*) [[ -e $NOTES/group-exists ]] ;;
"dpkg --print-architecture") echo "$ARCHITECTURE" ;;
"apt-get -qq" | "dnf --quiet") [[ $* != *kinetail* || ! -e $NOTES/broken ]] ;;
"kinetail version") echo "kinetail $(cat "$NOTES/version")" ;;
"kinetail check") [[ ! -e $NOTES/refused ]] ;;
esac
"""
STAND_INS = ("dpkg", "getent", "groupadd", "install", "kinetail", "systemctl")
MANAGERS = {"amazon-linux-2023.sh": "dnf", "debian.sh": "apt-get", "ubuntu.sh": "apt-get"}


def embedded():
    """The script in the cloud-config, which runs that and nothing else."""
    config = yaml.safe_load((FOLDER / "cloud-init.yaml").read_text(encoding="utf-8"))
    (file,) = config.pop("write_files")
    assert config == {"runcmd": [["bash", file["path"]]]}, config
    return file["content"]


# Each with the program that installs where it runs.
SCRIPTS = [(name, (FOLDER / name).read_text(encoding="utf-8"), manager) for name, manager in MANAGERS.items()]
SCRIPTS += [("cloud-init.yaml", embedded(), manager) for manager in ("apt-get", "dnf")]


class UserData(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.notes = self.folder / "notes"
        self.notes.mkdir()
        (self.notes / "version").write_text(VERSION, encoding="utf-8")
        machine = os.uname().machine
        self.architecture = {"x86_64": "amd64", "aarch64": "arm64"}[machine]
        self.packages = self.folder / "packages"
        self.packages.mkdir()
        for name in (f"kinetail_{VERSION}_{self.architecture}.deb", f"kinetail-{VERSION}-1.{machine}.rpm"):
            (self.packages / name).write_text("the package", encoding="utf-8")
        self.sha256 = hashlib.sha256(b"the package").hexdigest()

    def programs(self, manager):
        """A directory with all that a script may call on a system with this package manager."""
        programs = self.folder / f"bin-{manager}"
        if not programs.exists():
            programs.mkdir()
            for name in REAL:
                (programs / name).symlink_to(shutil.which(name))
            # The stand-ins themselves need more than the scripts do.
            text = STAND_IN.format(bash=shutil.which("bash")).replace("\n", f"\nPATH={os.environ['PATH']}\n", 1)
            for name in (*STAND_INS, manager):
                (programs / name).write_text(text, encoding="utf-8")
                (programs / name).chmod(0o755)
        return programs

    def run_script(self, text, manager, source, sha256):
        """Runs a script with these settings: how it ended, what it said of it, and the calls that it made."""
        for name, value in (("source", source), ("sha256_x86_64", sha256), ("sha256_aarch64", sha256)):
            setting = f"readonly {name}=''\n"
            self.assertEqual(text.count(setting), 1)
            text = text.replace(setting, f"readonly {name}='{value}'\n")
        filled = self.folder / "script.sh"
        filled.write_text(text, encoding="utf-8")
        (self.notes / "calls").write_text("", encoding="utf-8")
        ended = subprocess.run(
            ["unshare", "--user", "--map-root-user", shutil.which("bash"), filled],
            env={"PATH": str(self.programs(manager)), "NOTES": str(self.notes), "ARCHITECTURE": self.architecture},
            executable=shutil.which("unshare"),
            capture_output=True,
            text=True,
            check=False,
        )
        calls = (self.notes / "calls").read_text(encoding="utf-8").splitlines()
        return ended.returncode, ended.stderr, [call.split() for call in calls]

    def run_filled(self, text, manager):
        return self.run_script(text, manager, f"file://{self.packages}", self.sha256)

    def check_refused(self, reason, source, sha256):
        """It ends with this reason, in one line, and has installed nothing."""
        for name, text, manager in SCRIPTS:
            with self.subTest(script=name, manager=manager):
                code, said, calls = self.run_script(text, manager, source, sha256)
                self.assertEqual(code, 1, said)
                self.assertRegex(said.splitlines()[-1], f"^kinetail is not installed: .*{reason}")
                self.assertEqual([call for call in calls if call[0] in ("install", "systemctl", "groupadd")], [])
                self.assertEqual([call for call in calls if any("kinetail" in word for word in call)], [])

    def test_there_is_one_for_each_distribution_and_none_is_too_large(self):
        self.assertEqual(sorted(path.name for path in FOLDER.iterdir()), sorted([*MANAGERS, "cloud-init.yaml"]))
        for path in FOLDER.iterdir():
            self.assertLessEqual(path.stat().st_size, LARGEST)

    def test_the_cloud_config_does_what_the_scripts_do(self):
        shared = {text.split(SHARED)[1].strip() for _, text, _ in SCRIPTS}
        self.assertEqual(len(shared), 1)

    def test_the_script_in_the_cloud_config_has_no_finding_of_shellcheck(self):
        subprocess.run(["shellcheck", "-"], input=embedded(), text=True, check=True)

    def test_settings_that_are_not_filled_in_are_asked_for(self):
        source = f"file://{self.packages}"
        for source, sha256 in (("", ""), (source, ""), ("", self.sha256), (source, self.sha256[1:])):
            self.check_refused("is not filled in", source, sha256)

    def test_another_package_than_that_of_the_sum_is_refused(self):
        self.check_refused("has another SHA-256", f"file://{self.packages}", self.sha256[1:] + self.sha256[0])

    def test_a_package_that_cannot_be_fetched_is_told(self):
        self.check_refused("cannot be fetched", f"file://{self.folder}/nowhere", self.sha256)

    def test_configuration_then_package_are_installed_and_the_service_started(self):
        for name, text, manager in SCRIPTS:
            with self.subTest(script=name, manager=manager):
                code, said, calls = self.run_filled(text, manager)
                self.assertEqual(code, 0, said)
                drop_in = f"/etc/systemd/system/{UNIT}.d/logs.conf"
                steps = [call for call in calls if call[0] in ("groupadd", "install", manager, "kinetail", "systemctl")]
                steps = [step for step in steps if "update" not in step]
                package = self.packages.glob("*.rpm" if manager == "dnf" else "*.deb")
                expected = [
                    ("groupadd", USER),
                    ("install", "/etc/aws-kinesis/agent.json"),
                    (manager, next(package).name),
                    ("kinetail", "version"),
                    ("install", drop_in),
                    ("kinetail", "--strict"),
                    ("systemctl", "daemon-reload"),
                    ("systemctl", UNIT),
                    ("systemctl", UNIT),
                ]
                if manager == "dnf":
                    expected.remove(("install", drop_in))
                folder = re.compile("/tmp/[^/]*/")
                self.assertEqual([(step[0], folder.sub("", step[-1])) for step in steps], expected)
                self.assertEqual([step[1] for step in steps[-2:]], ["enable", "restart"])
                (flow,) = json.loads((self.notes / "agent.json").read_text(encoding="utf-8"))["flows"]
                self.assertEqual(flow["kinesisStream"], "ApplicationLogInputStream")
                logs = "/var/log/httpd/*access_log*" if manager == "dnf" else "/var/log/apache2/*access.log*"
                self.assertEqual(flow["filePattern"], logs)
                (configuration,) = [call for call in calls if call[-1] == "/etc/aws-kinesis/agent.json"]
                self.assertIn(f"-m 0640 -g {USER}", " ".join(configuration))

    def test_a_group_that_is_there_already_is_kept(self):
        (self.notes / "group-exists").touch()
        for name, text, manager in SCRIPTS:
            with self.subTest(script=name, manager=manager):
                code, said, calls = self.run_filled(text, manager)
                self.assertEqual(code, 0, said)
                self.assertIn(["getent", "group", USER], calls)
                self.assertNotIn("groupadd", [call[0] for call in calls])

    def check_not_started(self, reason):
        for name, text, manager in SCRIPTS:
            with self.subTest(script=name, manager=manager):
                code, said, calls = self.run_filled(text, manager)
                self.assertEqual(code, 1, said)
                self.assertRegex(said.splitlines()[-1], f"^kinetail is not installed: .*{reason}")
                self.assertNotIn("systemctl", [call[0] for call in calls])

    def test_a_configuration_that_is_refused_starts_nothing(self):
        (self.notes / "refused").touch()
        self.check_not_started("the configuration is refused")

    def test_a_package_that_does_not_install_starts_nothing(self):
        (self.notes / "broken").touch()
        self.check_not_started("line [0-9]* failed: ")

    def test_another_version_than_the_pinned_one_starts_nothing(self):
        (self.notes / "version").write_text("0.1.01", encoding="utf-8")
        self.check_not_started(f"version 0.1.01 is there, not {VERSION}")


if __name__ == "__main__":
    unittest.main()
