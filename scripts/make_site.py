"""Build the documentation as a site, `site/` in English and `site/es/` in Spanish: `make site`.

The pages are those of the repository, README.md first. Their links are made to fit, a page of the interface is made of
docstrings, and zensical (https://zensical.org) draws it all; a link that leads nowhere ends the build. The built pages
ask no other host for anything.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from site_contents import CHAPTERS, ENGLISH, INTERFACE, LANGUAGES, MEMBERS, ROOT, SEARCH_WORDS, SPANISH, Language

FITTINGS = Path(__file__).parent / "site"
SITE = ROOT / "site"
LINK = re.compile(r"(?<!\\)\]\((?!https?:)([^)#\s]+)((?:#[^)\s]*)?)\)")
CODE = re.compile(r"^(```.*?^```|`[^`\n]+`)", re.M | re.S)


def sources(language: Language) -> dict[Path, str]:
    """Where each page of the repository stands in the site of its language."""
    top = ROOT if language is ENGLISH else language.pages
    pages = {top / "README.md": "index.md", top / "CONTRIBUTING.md": "contributing.md"}
    pages |= {path: path.name for path in sorted(language.pages.glob("*.md")) if path not in pages}
    course = {path: f"course/{path.name}" for path in sorted((language.pages / "course").glob("*.md"))}
    return pages | course | {language.pages / "course" / "README.md": "course/index.md"}


def course_order(language: Language) -> list[str]:
    """The pages of the course in the order of its table of contents."""
    contents = (language.pages / "course" / "README.md").read_text()
    return list(dict.fromkeys(re.findall(r"\]\((\w+)\.md\)", contents)))


def title(page: Path) -> str:
    heading = re.search(r"^# (.+)$", page.read_text(), re.M)
    return heading[1].replace("`", "") if heading else page.stem


def outside_code(change, text: str) -> str:
    """The text with what is no code changed."""
    return "".join(part if CODE.match(part) else change(part) for part in CODE.split(text))


class Assembly:
    """The pages of one language in a folder, with links and formulas as zensical reads them."""

    def __init__(self, language: Language, folder: Path) -> None:
        self.language, self.folder = language, folder
        self.pages = sources(language)
        self.titles: dict[str, str] = {}

    def write(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        for source, place in self.pages.items():
            text = source.read_text()
            self.titles[place] = title(source)
            text = re.sub(r"^\[(?:English|Español)\]\(\S+\)\n\n", "", text, flags=re.M)  # the site has a switch
            if (source.parent / "notebooks" / f"{source.stem}.ipynb").is_file():
                notebook = f"[{self.language.words['notebook']}](notebooks/{source.stem}.ipynb)"
                text = re.sub(r"^(# .+\n)", rf"\1\n{notebook}\n", text, count=1)
            text = re.sub(r"^```math\n(.*?)^```$", r"$$\n\1$$", text, flags=re.M | re.S)
            self._put(place, outside_code(lambda part, page=source: self._linked(page, part), text))
        self._put("interface.md", self._interface())
        for asset in ("mathematics.js", "style.css"):
            shutil.copy(FITTINGS / asset, self.folder / asset)
        shutil.copy(
            distribution("django-static-mathjax").locate_file("mathjax/static/mathjax/es5/tex-svg.js"), self.folder
        )

    def _put(self, place: str, text: str) -> None:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _linked(self, page: Path, text: str) -> str:
        here = Path(self.pages[page]).parent

        def linked(link: re.Match) -> str:
            target = Path(os.path.normpath(page.parent / link[1]))
            if not target.is_file():
                sys.exit(f"{page.relative_to(ROOT)}: {link[1]} is no file.")
            place = self.pages.get(target) or self._asset(target)
            return f"]({os.path.relpath(place, here)}{link[2]})"

        return LINK.sub(linked, text)

    def _asset(self, source: Path) -> str:
        """Copy a picture or another file that a page links to; its place."""
        place = source.relative_to(ROOT / "docs") if source.is_relative_to(ROOT / "docs") else source.relative_to(ROOT)
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)
        return str(place)

    def _interface(self) -> str:
        words = self.language.words
        sections = []
        for section, names in INTERFACE.items():
            sections += [f"## {words[section]}", *(f"::: {name}" + self._options(name) for name in names)]
        return "\n\n".join([f"# {words['interface']}", words["intro"], *sections]) + "\n"

    @staticmethod
    def _options(name: str) -> str:
        """`Run` and `Sweep` are what they inherit, too, of which the members that people use are shown."""
        members = MEMBERS.get(name, [])
        shown = [f"\n        - {member}" for member in members]
        return "".join(["\n    options:\n      inherited_members: true\n      members:", *shown]) if members else ""

    def contents(self) -> list[dict]:
        """The pages by chapters, as they follow each other."""
        words, places = self.language.words, set(self.pages.values())
        course = ["course/index.md", *(f"course/{name}.md" for name in course_order(self.language))]
        named = {name for names in CHAPTERS.values() for name in names}
        others = sorted(p for p in places - {*course, "index.md", "contributing.md"} if Path(p).stem not in named)
        guide = [f"{name}.md" for name in CHAPTERS["guide"] if f"{name}.md" in places] + others
        within = [f"{name}.md" for name in CHAPTERS["within"]] + ["contributing.md"]
        chapters = {"course": course, "guide": guide, "within": within}
        return [
            {words["home"]: "index.md"},
            *({words[key]: [{self.titles[p]: p} for p in chapters[key]]} for key in ("course", "guide")),
            {words["interface"]: "interface.md"},
            {words["within"]: [{self.titles[p]: p} for p in chapters["within"]]},
        ]


def settings(assembly: Assembly) -> str:
    """The settings of zensical: JSON, which is YAML; anchors are made by a function, so that accents stay in them."""
    language = assembly.language
    (other,) = (each for each in LANGUAGES if each is not language)
    at_home = language is ENGLISH
    palettes = [("default", "lucide/moon"), ("slate", "lucide/sun")]
    found = {
        "site_name": "nettrain",
        "site_url": "",
        "docs_dir": assembly.folder.name,
        "site_dir": f"built-{language.code}",
        "use_directory_urls": False,
        "nav": assembly.contents(),
        "theme": {
            "name": "material",
            "language": language.code,
            "font": False,
            "custom_dir": str(FITTINGS / "overrides"),
            "features": [
                "navigation.footer",
                "navigation.indexes",
                "navigation.top",
                "content.code.copy",
                "search.highlight",
            ],
            "palette": [
                {"media": f"(prefers-color-scheme: {media})", "scheme": scheme, "toggle": {"icon": icon, "name": media}}
                for (scheme, icon), media in zip(palettes, ("light", "dark"), strict=True)
            ],
        },
        "plugins": [
            {"search": {}},
            {
                "mkdocstrings": {
                    "handlers": {
                        "python": {
                            "paths": [str(ROOT / "src")],
                            "options": {
                                "show_source": False,
                                "show_root_heading": True,
                                "show_root_full_path": True,
                                "heading_level": 3,
                                "docstring_style": "sphinx",
                                "members_order": "source",
                                "separate_signature": True,
                                "line_length": 80,
                                "show_signature_annotations": True,
                                "filters": ["!^_"],
                            },
                        }
                    }
                }
            },
        ],
        "markdown_extensions": [
            "tables",
            {"toc": {"permalink": True, "slugify": "SLUGS"}},
            {"pymdownx.arithmatex": {"generic": True}},
            "pymdownx.superfences",
            {"pymdownx.highlight": {"pygments_lang_class": True}},
        ],
        "extra_javascript": ["mathematics.js"],
        "extra_css": ["style.css"],
        "extra": {
            "generator": False,
            "alternate": [{"name": other.name, "link": "es/" if at_home else "../", "lang": other.code}],
        },
    }
    slugs = '!!python/object/apply:pymdownx.slugs.slugify {"kwds": {"case": "lower"}}'
    return json.dumps(found, indent=1, ensure_ascii=False).replace('"SLUGS"', slugs)


def build(work: Path, site: Path) -> None:
    """Draw the site in both languages, by files in the folder `work`, which is made."""
    work.mkdir(parents=True, exist_ok=True)
    for language in LANGUAGES:
        assembly = Assembly(language, work / f"pages-{language.code}")
        assembly.write()
        config = work / f"mkdocs-{language.code}.yml"
        config.write_text(settings(assembly))
        command = [Path(sys.executable).parent / "zensical", "build", "--strict", "--config-file", config]
        subprocess.run(command, cwd=work, check=True)
        shutil.copytree(work / f"built-{language.code}", site / ("" if language is ENGLISH else language.code))
    translate_search(site / SPANISH.code)


def translate_search(site: Path) -> None:
    """Put Spanish words in the place of the English ones of the search dialog."""
    (script,) = (site / "assets" / "javascripts").glob("bundle.*.js")
    text = script.read_text()
    for english, spanish in SEARCH_WORDS.items():
        if english not in text:
            sys.exit(f"{script.name}: there is no {english} to be translated; has zensical another version?")
        text = text.replace(english, spanish)
    script.write_text(text)


def main() -> None:
    shutil.rmtree(SITE, ignore_errors=True)
    build(ROOT / "build" / "site", SITE)
    print("site/index.html; to search in it, too: python -m http.server --directory site")


if __name__ == "__main__":
    main()
