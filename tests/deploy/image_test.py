"""The image: its Dockerfile, and what it is made of, run as it would be where there is no engine to build it with."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions(name):
    """What follows an instruction, one string for each time it is there."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(name).strip() for line in joined.splitlines() if line.startswith(name + " ")]


class Dockerfile(unittest.TestCase):
    def test_hadolint_finds_nothing(self):
        run = subprocess.run(["hadolint", "--failure-threshold", "style", "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_it_is_what_the_readme_promises(self):
        self.assertEqual(instructions("USER"), ["65532:65532"])
        self.assertEqual(instructions("ENTRYPOINT"), ['["/usr/local/bin/switchboard"]'])
        self.assertEqual(instructions("FROM")[-1], "scratch")
        self.assertEqual(instructions("HEALTHCHECK"), [])
        self.assertIn("NODE_ENV=production", instructions("ENV"))

    def test_rust_is_pinned_and_new_enough(self):
        (image,) = [value for value in instructions("ARG") if value.startswith("RUST_IMAGE=")]
        pinned = re.fullmatch(r"RUST_IMAGE=rust:1\.(\d+)\.\d+-bookworm", image)
        self.assertTrue(pinned, image)
        needed = re.search(r'^rust-version = "1\.(\d+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
        self.assertGreaterEqual(int(pinned[1]), int(needed[1]))

    def test_what_it_copies_is_there_and_not_ignored(self):
        ignored, *allowed = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
        self.assertEqual(ignored, "*")
        copied = [word.rstrip("/") for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]]
        self.assertEqual(sorted(allowed), sorted("!" + name for name in copied))
        for name in copied:
            self.assertTrue((ROOT / name).exists(), name)

    def test_the_manifest_needs_nothing_that_is_not_copied(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ["Cargo.toml", "Cargo.lock", "src"]:
                os.symlink(ROOT / name, pathlib.Path(folder, name))
            command = ["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr)


class Build(unittest.TestCase):
    """`image/build` with a small crate of the same name, whose files are older than what is built before they come."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=ROOT / "target")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        shutil.copytree(ROOT / "image", self.folder / "image", ignore=shutil.ignore_patterns("vendor"))
        # A workspace of its own, in spite of the one around it.
        manifest = '[package]\nname = "switchboard"\nversion = "0.1.0"\nedition = "2024"\n[workspace]\n[dependencies]\n'
        (self.folder / "Cargo.toml").write_text(manifest)
        (self.folder / "Cargo.lock").write_text('version = 4\n\n[[package]]\nname = "switchboard"\nversion = "0.1.0"\n')

    def image_build(self, *arguments):
        environment = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
        command = ([] if os.geteuid() == 0 else ["sudo", "--preserve-env"]) + [self.folder / "image/build", *arguments]
        run = subprocess.run(command, env=environment, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_it_builds_the_sources_and_not_their_stand_ins(self):
        self.image_build("dependencies")
        self.assertFalse((self.folder / "src").exists())
        (self.folder / "src").mkdir()
        for name, text in {"lib.rs": "", "main.rs": 'fn main() { println!("REDIS_URL {}", file!()) }'}.items():
            (self.folder / "src" / name).write_text(text)
            os.utime(self.folder / "src" / name, (0, 0))
        self.image_build("server", self.folder / "root")
        server = (self.folder / "root/usr/local/bin/switchboard").read_bytes()
        self.assertNotIn(str(self.folder).encode(), server, "it says where it was built")


class Image(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir=ROOT / "target")
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name, "root")
        # Without what debuggers need, as in the image.
        binary = pathlib.Path(self.folder.name, "switchboard")
        subprocess.run(["strip", "--strip-debug", "-o", binary, os.environ["SWITCHBOARD_BIN"]], check=True)
        subprocess.run([ROOT / "image/rootfs", binary, self.root], check=True)

    def test_it_holds_the_server_and_its_libraries_and_no_program_besides(self):
        files = {"/" + str(path.relative_to(self.root)): path.stat() for path in self.root.rglob("*") if path.is_file()}
        programs = {name for name, stat in files.items() if stat.st_mode & 0o111 and ".so" not in name}
        self.assertEqual(programs, {"/usr/local/bin/switchboard"})
        self.assertTrue(all(stat.st_uid == 0 and not stat.st_mode & 0o022 for stat in files.values()), files)
        self.assertEqual({stat.st_mtime for stat in files.values()}, {0})
        beside = sum(stat.st_size for name, stat in files.items() if name not in programs)
        self.assertLess(beside, 8_000_000)

    def test_it_runs_as_its_user_on_a_read_only_root(self):
        environment = dict(setting.split("=", 1) for setting in instructions("ENV"))
        environment |= {"BACKPLANE": "embedded", "JWT_SECRET": "a secret of this test and of nothing else"}
        # Namespaces of its own, and another user, need root.
        command = [] if os.geteuid() == 0 else ["sudo"]
        command += ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += [sys.executable, ROOT / "tests/deploy/confined.py", self.root, json.dumps(environment)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)


if __name__ == "__main__":
    unittest.main()
