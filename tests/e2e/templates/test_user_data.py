"""The user data of instances, run with stand-ins for every program that changes a system: what they do, and when not.

The stand-ins note how they were called and keep a copy of what would be installed. Nothing else is within reach of the
scripts, so they do no harm whatever is wrong with them. That the scripts also work on a booted system is tried by hand.
"""

import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCRIPTS = sorted((ROOT / "packaging/user-data").glob("*.sh"))
UNIT = "aws-kinesis-agent.service"
USER = "aws-kinesis-agent-user"

# What only reads, or writes into the scripts' own folder.
REAL = ("bash", "cat", "curl", "gzip", "mktemp", "rm", "sha256sum", "tar", "uname")

STAND_IN = """#!{bash}
echo "$(basename "$0") $*" >>"$NOTES/calls"
case "$(basename "$0")" in
install) cp "${{@: -2:1}}" "$NOTES/$(basename "${{@: -1}}")" ;;
getent) [[ -e $NOTES/user-exists ]] ;;
kinetail) [[ ! -e $NOTES/refused ]] ;;
esac
"""
STAND_INS = ("apt-get", "dnf", "getent", "install", "kinetail", "systemctl", "useradd")


class UserData(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.notes = self.folder / "notes"
        programs = self.folder / "bin"
        programs.mkdir()
        self.notes.mkdir()
        for name in REAL:
            (programs / name).symlink_to(shutil.which(name))
        # The stand-ins themselves need more than the scripts do.
        text = STAND_IN.format(bash=shutil.which("bash")).replace("\n", f"\nPATH={os.environ['PATH']}\n", 1)
        for name in STAND_INS:
            (programs / name).write_text(text, encoding="utf-8")
            (programs / name).chmod(0o755)

    def archive(self, *names):
        """An archive of these files, and its SHA-256."""
        path = self.folder / "kinetail.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name in names:
                content = f"this is {name}".encode()
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    def run_script(self, script, path="", sha256=""):
        """Runs a script with these settings: how it ended, what it said of it, and the calls that it made."""
        address = f"file://{path}" if path else ""
        text = script.read_text(encoding="utf-8")
        for machine in ("x86_64", "aarch64"):
            for name, value in (("archive", address), ("sha256", sha256)):
                setting = f"readonly {name}_{machine}="
                self.assertEqual(text.count(f"{setting}''\n"), 1)
                text = text.replace(f"{setting}''\n", f"{setting}'{value}'\n")
        filled = self.folder / "script.sh"
        filled.write_text(text, encoding="utf-8")
        (self.notes / "calls").write_text("", encoding="utf-8")
        ended = subprocess.run(
            ["unshare", "--user", "--map-root-user", shutil.which("bash"), filled],
            env={"PATH": str(self.folder / "bin"), "NOTES": str(self.notes)},
            executable=shutil.which("unshare"),
            capture_output=True,
            text=True,
            check=False,
        )
        calls = (self.notes / "calls").read_text(encoding="utf-8").splitlines()
        return ended.returncode, ended.stderr, [call.split() for call in calls]

    def check_refused(self, reason, path="", sha256=""):
        for script in SCRIPTS:
            with self.subTest(script=script.name):
                code, said, calls = self.run_script(script, path, sha256)
                self.assertEqual(code, 1, said)
                self.assertIn(reason, said)
                self.assertEqual([call for call in calls if call[0] in ("install", "systemctl")], [])

    def test_there_is_a_script_for_each_distribution(self):
        names = [script.name for script in SCRIPTS]
        self.assertEqual(names, ["amazon-linux-2023.sh", "debian.sh", "ubuntu.sh"])

    def test_settings_that_are_not_filled_in_are_asked_for(self):
        path, sha256 = self.archive("kinetail", UNIT)
        self.check_refused("is not filled in")
        self.check_refused("is not filled in", path)
        self.check_refused("is not filled in", "", sha256)
        self.check_refused("is not filled in", path, sha256[1:])

    def test_another_archive_than_that_of_the_sum_is_refused(self):
        path, sha256 = self.archive("kinetail", UNIT)
        self.check_refused("has another SHA-256", path, sha256[1:] + sha256[0])

    def test_an_archive_without_its_files_is_refused(self):
        for names in (["kinetail"], [UNIT]):
            self.check_refused("does not hold", *self.archive(*names))

    def test_program_unit_and_configuration_are_installed_then_started(self):
        path, sha256 = self.archive("kinetail", UNIT)
        for script in SCRIPTS:
            with self.subTest(script=script.name):
                code, said, calls = self.run_script(script, path, sha256)
                self.assertEqual(code, 0, said)
                installed = [call[-1] for call in calls if call[0] == "install"]
                drop_in = f"/etc/systemd/system/{UNIT}.d/logs.conf"
                self.assertEqual(
                    installed,
                    ["/usr/bin/kinetail", f"/etc/systemd/system/{UNIT}", "/etc/aws-kinesis/agent.json"]
                    + ([] if script.name.startswith("amazon") else [drop_in]),
                )
                order = [call[:2] for call in calls if call[0] in ("kinetail", "systemctl", "useradd")]
                self.assertEqual(
                    order,
                    [
                        ["useradd", "--system"],
                        ["kinetail", "check"],
                        ["systemctl", "daemon-reload"],
                        ["systemctl", "enable"],
                        ["systemctl", "restart"],
                        ["kinetail", "version"],
                    ],
                )
                self.assertEqual((self.notes / "kinetail").read_text(encoding="utf-8"), "this is kinetail")
                (flow,) = json.loads((self.notes / "agent.json").read_text(encoding="utf-8"))["flows"]
                self.assertEqual(flow["kinesisStream"], "ApplicationLogInputStream")
                logs = "/var/log/httpd/*access_log*" if "amazon" in script.name else "/var/log/apache2/*access.log*"
                self.assertEqual(flow["filePattern"], logs)
                (configuration,) = [call for call in calls if call[-1] == "/etc/aws-kinesis/agent.json"]
                self.assertIn(f"-m 0640 -g {USER}", " ".join(configuration))

    def test_a_user_that_is_there_already_is_kept(self):
        path, sha256 = self.archive("kinetail", UNIT)
        (self.notes / "user-exists").touch()
        for script in SCRIPTS:
            code, said, calls = self.run_script(script, path, sha256)
            self.assertEqual(code, 0, said)
            self.assertIn(["getent", "passwd", USER], calls)
            self.assertNotIn("useradd", [call[0] for call in calls])

    def test_a_configuration_that_is_refused_starts_nothing(self):
        path, sha256 = self.archive("kinetail", UNIT)
        (self.notes / "refused").touch()
        for script in SCRIPTS:
            code, said, calls = self.run_script(script, path, sha256)
            self.assertEqual(code, 1, said)
            self.assertIn("the configuration is refused", said)
            self.assertNotIn("systemctl", [call[0] for call in calls])


if __name__ == "__main__":
    unittest.main()
