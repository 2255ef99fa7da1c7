"""A fresh machine may lack a program: one line names it, and how to fix that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
BROWSER = "#!/bin/sh\necho Chromium 1.0\n"


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def run(*command: str | Path, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {name: value for name, value in os.environ.items() if name != "TELEX_CHROMIUM"}
    return subprocess.run(
        command, capture_output=True, text=True, env=keep | {"PATH": str(path)} | environment, check=False
    )


def chromium(path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, SCRIPTS / "chromium.py", *arguments, path=path, **environment)


def test_a_python_too_old_is_one_line(tmp_path: Path) -> None:
    old = program(tmp_path, "python3", '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit\nexit 1\n')
    for arguments in ([], [str(old)]):
        told = run("/bin/bash", SCRIPTS / "venv", tmp_path / "made", *arguments, path=tmp_path)
        assert told.returncode == 1
        assert len(told.stderr.splitlines()) == 1
        assert "3.11 or newer, found: Python 3.9.2" in told.stderr
        assert not (tmp_path / "made").exists()


def test_no_python_is_one_line(tmp_path: Path) -> None:
    told = run("/bin/bash", SCRIPTS / "venv", tmp_path / "made", path=tmp_path)
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert "no python3" in told.stderr


def test_a_python_without_venv_is_one_line(tmp_path: Path) -> None:
    stub = f"""#!/bin/sh
case "$2" in
*ensurepip*) exit 1;;
*) exec {sys.executable} "$@";;
esac
"""
    program(tmp_path, "python3", stub)
    told = run("/bin/bash", SCRIPTS / "venv", tmp_path / "made", path=tmp_path)
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert "-venv" in told.stderr


@pytest.mark.slow
def test_the_chromium_that_is_there_is_taken(tmp_path: Path) -> None:
    there = program(tmp_path, "chromium", BROWSER)
    assert chromium(tmp_path).stdout.strip() == str(there)
    named = program(tmp_path, "my-browser", BROWSER)
    assert chromium(tmp_path, TELEX_CHROMIUM=str(named)).stdout.strip() == str(named)


@pytest.mark.slow
def test_a_chromium_that_is_named_and_does_not_start_is_told(tmp_path: Path) -> None:
    told = chromium(tmp_path, TELEX_CHROMIUM=str(tmp_path / "gone"))
    assert told.returncode == 1
    assert "is not a Chromium" in told.stderr


@pytest.mark.slow
def test_debian_s_package_is_installed_where_it_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scripts import chromium

    program(tmp_path, "browser", BROWSER)
    install = f'case "$*" in *install*chromium*) /bin/cp {tmp_path}/browser {tmp_path}/chromium;; esac'
    program(tmp_path, "apt-get", f"#!/bin/sh\n{install}\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["chromium.py", "--install"])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.delenv("TELEX_CHROMIUM", raising=False)
    assert chromium.main() == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(tmp_path / "chromium")
    assert "installing Debian's chromium" in told.err


@pytest.mark.slow
def test_without_any_it_fails_and_says_what_to_do(tmp_path: Path) -> None:
    told = chromium(tmp_path, PLAYWRIGHT_BROWSERS_PATH=str(tmp_path))
    assert told.returncode == 1
    assert "TELEX_CHROMIUM=" in told.stderr


def test_pythons_are_found_on_path_and_with_pyenv_and_the_others_are_named(tmp_path: Path) -> None:
    on_path, root = tmp_path / "bin", tmp_path / "pyenv"
    on_path.mkdir()
    program(on_path, "python3.11", "#!/bin/sh\necho 11\n")
    program(on_path, "python3.12", "#!/bin/sh\necho pyenv: no such command >&2\nexit 127\n")  # a shim without a version
    for version in ("3.9.1", "3.12.1", "3.12.10", "3.13.0"):
        minor = version.split(".")[1]
        folder = root / "versions" / version / "bin"
        folder.mkdir(parents=True)
        program(folder, f"python3.{minor}", f"#!/bin/sh\necho {minor if version != '3.13.0' else 'broken'}\n")
    told = run(sys.executable, SCRIPTS / "pythons.py", path=on_path, PYENV_ROOT=str(root))
    assert told.stdout.splitlines() == [
        f"3.11 {on_path / 'python3.11'}",
        f"3.12 {root / 'versions' / '3.12.10' / 'bin' / 'python3.12'}",
    ]
    assert told.stderr == "not found: Python 3.13, 3.14\n"


@pytest.mark.slow
def test_the_tests_run_on_each_python_and_a_failure_is_named(tmp_path: Path) -> None:
    make = program(tmp_path, "make", '#!/bin/sh\necho "$@"\ncase "$*" in *3.12*) exit 2;; esac\n')
    looks = program(tmp_path, "looks", "#!/bin/sh\necho 3.11 /a/python3.11\necho 3.12 /a/python3.12\n")
    told = run("/bin/bash", SCRIPTS / "test-versions", looks, path=Path("/usr/bin:/bin"), MAKE=str(make))
    assert told.returncode == 1
    assert "test VENV=.venv-3.11 PYTHON=/a/python3.11" in told.stdout
    assert "test VENV=.venv-3.12 PYTHON=/a/python3.12" in told.stdout
    assert told.stderr == "failed on Python 3.12\n"
