"""MkDocs hooks: files of the repository that lie outside `docs/`, and the texts of `--help`.

Pages link to files as they lie in a clone (`../benchmarks/README.md`), so that they can be read there,
too. In the site every such file has a page below `repository/`: Markdown as it is, anything else as a
block of code; what these pages link to comes along.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent.resolve()
ROOT = DOCS.parent
OUTSIDE = "repository"
LINK = re.compile(r"(\[[^\]]*\])\((?!\w+:|#|/)([^)\s#]+)(#[^)\s]*)?\)")
"""Text, path and anchor of a relative link of Markdown."""
HELPS = "<!-- the text of every --help -->"
BEHIND = "---\nsearch:\n  boost: 0.3\n---\n\n"
"""What a search finds in these pages comes after what it finds in those of `docs/`."""
LANGUAGES = {
    ".py": "python",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".sbatch": "bash",
    ".cff": "yaml",
    ".json": "json",
}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files outside `docs/` that pages lead to, directly or by one another."""
    waiting = [DOCS / file.src_uri for file in files.documentation_pages()]
    added: set[Path] = set()
    while waiting:
        for target in _linked(waiting.pop()):
            if target.is_relative_to(DOCS) or target in added:
                continue
            added.add(target)
            text = target.read_text(encoding="utf-8")
            if target.suffix == ".md":
                waiting.append(target)
            else:
                language = LANGUAGES.get(target.suffix, "text")
                text = f"# {target.relative_to(ROOT)}\n\n````{language}\n{text}\n````\n"
            files.append(File.generated(config, _uri(target), content=BEHIND + text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the site has them, and the helps where they belong."""
    del config, files
    source = _on_disk(page.file.src_uri)
    if source.suffix != ".md":
        return markdown
    start = str(Path(page.file.src_uri).parent)

    def moved(link: re.Match[str]) -> str:
        text, path, anchor = link.groups()
        target = _target(source, path)
        if target is None:  # a folder without a page of its own
            return text[1:-1]
        return f"{text}({os.path.relpath(_uri(target), start)}{anchor or ''})"

    moved_links = LINK.sub(moved, markdown)
    return moved_links.replace(HELPS, _helps()) if HELPS in markdown else moved_links


def _linked(source: Path) -> Iterator[Path]:
    for _, path, _ in LINK.findall(source.read_text(encoding="utf-8")):
        target = _target(source, path)
        if target is not None and target.exists():
            yield target


def _target(source: Path, path: str) -> Path | None:
    """The file that a link leads to; of a folder its first page, None where it has none."""
    target = (source.parent / path).resolve()
    if not target.is_dir():
        return target
    pages = [target / name for name in ("index.md", "README.md")]
    return next((page for page in pages if page.exists()), None)


def _uri(target: Path) -> str:
    """Where a file is in the site's sources."""
    if target.is_relative_to(DOCS):
        return target.relative_to(DOCS).as_posix()
    name = target.relative_to(ROOT).as_posix()
    return f"{OUTSIDE}/{name}" if target.suffix == ".md" else f"{OUTSIDE}/{name}.md"


def _on_disk(uri: str) -> Path:
    if not uri.startswith(f"{OUTSIDE}/"):
        return DOCS / uri
    name = uri.removeprefix(f"{OUTSIDE}/")
    whole = ROOT / name
    return whole if whole.exists() else ROOT / name.removesuffix(".md")


def _helps() -> str:
    from bone_age_tf.cli.main import COMMANDS, load_command

    parts = []
    for name in COMMANDS:
        command = load_command(name)
        context = click.Context(command, info_name=f"bone-age-tf {name}", max_content_width=100)
        context.terminal_width = 100
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)
