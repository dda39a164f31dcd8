"""One thing a session; the default sessions are what CI runs."""

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "types", "tests", "demo", "build"]
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.stop_on_first_error = True

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
# All that tests use.
EXTRAS = ".[cli,crypto,fastapi,file,otel,parquet,prometheus,redis,speed,sqlalchemy,testing]"
GROUPS = {name: nox.project.dependency_groups(PROJECT, name) for name in PROJECT["dependency-groups"]}
WITHOUT_BROWSER = ("--ignore=tests/browser",)
# The transports that tests do not choose by themselves, and what is repeated over them.
OTHER_TRANSPORTS = ("httpx2", "httpx")
ON_EVERY_TRANSPORT = (
    "tests/rest", "tests/oauth/test_closing.py", "tests/oauth/test_deadline.py", "tests/test_client.py",
    "tests/test_closing.py", "tests/test_downloads.py",
)  # fmt: skip


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and that each layer imports only from itself and the layers below it."""
    session.install(*GROUPS["lint"], "-e", ".")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """mypy and pyright, both strict, over the package and what users' code sees of it."""
    session.install(*GROUPS["types"], *GROUPS["test"], "-e", EXTRAS)
    session.run("mypy")
    session.run("basedpyright", "--level", "error", "--pythonpath", str(Path(session.bin) / "python"))


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, those of the documents and the site too; `-- -m "not slow"` for a quick run.

    Tests of the wire run over every transport by themselves. Those of errors and of closing are repeated over each.
    """
    session.install(*GROUPS["test"], *GROUPS["docs"], "-e", EXTRAS)
    if session.posargs:
        session.run("pytest", "-n", "2", *WITHOUT_BROWSER, "--ignore=tests/docs", *session.posargs)
        return
    session.run("pytest", "-n", "2", *WITHOUT_BROWSER)
    for transport in OTHER_TRANSPORTS:
        session.run("pytest", "-n", "2", f"--transport={transport}", *ON_EVERY_TRANSPORT)


@nox.session
def coverage(session: nox.Session) -> None:
    """The tests of the package, with the lines and branches that they run."""
    session.install(*GROUPS["test"], "-e", EXTRAS)
    measured = ["pytest", "-n", "2", "--cov", "--cov-append", "--cov-report="]
    session.run("coverage", "erase")
    session.run(*measured, *WITHOUT_BROWSER, "--ignore=tests/conformance", "--ignore=tests/docs")
    for transport in OTHER_TRANSPORTS:
        session.run(*measured, f"--transport={transport}", *ON_EVERY_TRANSPORT)
    session.run("coverage", "report")


@nox.session
def storms(session: nox.Session) -> None:
    """All tests over every transport, with the full numbers of examples, kills and cancellations."""
    session.install(*GROUPS["test"], "-e", EXTRAS)
    for transport in ("aiohttp", *OTHER_TRANSPORTS):
        session.run(
            "pytest", "-n", "2", *WITHOUT_BROWSER, "--ignore=tests/docs", f"--transport={transport}", *session.posargs,
            env={"B24OAUTH_STORMS": "1"},
        )  # fmt: skip


@nox.session
def browser(session: nox.Session) -> None:
    """Applications in a real browser; needs Chromium, from PATH or named in the variable CHROMIUM."""
    session.install(*GROUPS["test"], *GROUPS["browser"], "-e", EXTRAS)
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """The recorded behaviour of the reference, replayed."""
    session.install(*GROUPS["test"], "-e", ".[testing]")
    session.run("pytest", "-n", "2", "tests/conformance", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Every snippet of the README and the guides runs, and every example."""
    session.install(*GROUPS["test"], "-e", EXTRAS)
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """The documentation site, in docs/_site; a warning is an error. `-- --online` also checks links to other sites."""
    session.install(*GROUPS["docs"], *GROUPS["test"], "-e", EXTRAS)
    out = "docs/_site"
    env = {"ONLINE": "1"} if "--online" in session.posargs else {}
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-E", "-q", "docs", out, env=env)
    if env:
        session.run("sphinx-build", "-b", "linkcheck", "-q", "docs", "docs/_links", env=env)
    session.run("pytest", "tests/docs/test_site.py", env={"B24OAUTH_SITE": str(Path(out).resolve())})


@nox.session
def demo(session: nox.Session) -> None:
    """The demo, with the extra that its users install."""
    session.install("-e", ".[cli]")
    session.run("b24oauth", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks, with the peers from their registries; `-- --quick` for less. Not a part of what CI runs."""
    session.install(*GROUPS["bench"], "-e", ".[speed,testing]")
    node = Path(session.create_tmp()) / "node"
    if shutil.which("node") and shutil.which("npm"):
        # Without a registry the benchmark says so in its table.
        session.run(
            "npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(node), "@bitrix24/b24jssdk@2",
            external=True, success_codes=range(256),
        )  # fmt: skip
    session.run("python", "-m", "benchmarks", "--node-modules", str(node / "node_modules"), *session.posargs)


def built(session: nox.Session) -> Path:
    """Builds the distributions, and checks that PyPI can show them."""
    session.install("build", "readme-renderer[md]", "twine")
    out = Path(session.create_tmp())
    for old in (*out.glob("*.whl"), *out.glob("*.tar.gz")):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", str(out), silent=True)
    session.run("twine", "check", "--strict", *(str(path) for path in (*out.glob("*.whl"), *out.glob("*.tar.gz"))))
    return out


def smoked(session: nox.Session, distribution: Path, extra: str) -> None:
    """Installs a distribution in a clean environment, and tries it."""
    fresh = distribution.parent / "fresh"
    session.run("python", "-m", "venv", "--clear", str(fresh), silent=True)
    wanted = str(distribution) if extra == "bare" else f"{distribution}[{extra}]"
    session.run(str(fresh / "bin" / "pip"), "install", "--quiet", wanted, external=True)
    session.run(str(fresh / "bin" / "python"), "-I", "tests/packaging/smoke.py", extra, external=True)


@nox.session
def build(session: nox.Session) -> None:
    """The distributions build, PyPI can show them, and the wheel works without anything optional."""
    smoked(session, next(built(session).glob("*.whl")), "bare")


@nox.session
def smoke(session: nox.Session) -> None:
    """The wheel with each extra, and the sdist, in clean environments. Not a part of what every change runs."""
    out = built(session)
    smoked(session, next(out.glob("*.tar.gz")), "bare")
    for extra in ("bare", *PROJECT["project"]["optional-dependencies"]):
        smoked(session, next(out.glob("*.whl")), extra)
